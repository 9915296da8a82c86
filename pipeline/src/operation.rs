//! Names of operations: raw paths become templates (SIGNALS §1.1).
