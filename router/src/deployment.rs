//! Deployments: a colour, and which one of that colour. Two of them compute side by side; one is forwarded.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One of the two places for a complete deployment of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// The one that a pipeline begins with.
    Blue,
    /// The other.
    Green,
}

impl Colour {
    /// Both, in this order.
    pub const ALL: [Self; 2] = [Self::Blue, Self::Green];

    /// As it is written in headers, groups and topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// The one that it is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is no colour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no colour `{0}`: say blue or green")]
pub struct NoColour(pub String);

impl FromStr for Colour {
    type Err = NoColour;

    fn from_str(text: &str) -> Result<Self, NoColour> {
        Self::ALL.into_iter().find(|colour| colour.name() == text).ok_or_else(|| NoColour(text.to_owned()))
    }
}

/// A complete deployment of a pipeline. Its records, groups and transactional ids say which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deployment {
    /// Where it computes.
    pub colour: Colour,
    /// Counts the deployments of all colours; one that has ended never comes back under its number.
    pub epoch: u32,
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.colour, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_read_as_it_is_written_and_nothing_else_is_one() {
        for colour in Colour::ALL {
            assert_eq!(colour.name().parse(), Ok(colour));
            assert_eq!(colour.other().other(), colour);
        }
        assert_eq!("red".parse::<Colour>(), Err(NoColour("red".to_owned())));
    }
}
