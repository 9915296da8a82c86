//! As much of JSON Schema as Grafana's types need, without a dependency: a word of a schema that is not known here fails, so nothing is passed over.

use serde_json::{Map, Value};

/// A schema with its definitions.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn new(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }

    pub(crate) fn has(&self, definition: &str) -> bool {
        self.0["definitions"].get(definition).is_some()
    }

    /// Whether a value is what a definition says, or where it is not.
    pub(crate) fn check(&self, definition: &str, value: &Value) -> Result<(), String> {
        let schema = self.0["definitions"].get(definition).unwrap_or_else(|| panic!("the schema has no {definition}"));
        self.matches(schema, value, "")
    }

    fn matches(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let words = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("{at} may not be")),
            other => other.as_object().unwrap(),
        };
        for (word, rule) in words {
            match word.as_str() {
                "description" | "default" | "$comment" | "deprecated" => {}
                "$ref" => {
                    let name = rule.as_str().unwrap().trim_start_matches("#/definitions/");
                    let target = self.0["definitions"].get(name).unwrap_or_else(|| panic!("the schema has no {name}"));
                    self.matches(target, value, at)?;
                }
                "type" => {
                    let is = |name: &Value| is_type(name.as_str().unwrap(), value);
                    let fits = rule.as_array().map_or_else(|| is(rule), |any| any.iter().any(is));
                    fits.then_some(()).ok_or_else(|| format!("{at} is not {rule}: {value}"))?;
                }
                "const" => (rule == value).then_some(()).ok_or_else(|| format!("{at} is not {rule}: {value}"))?,
                "enum" => {
                    rule.as_array().unwrap().contains(value).then_some(()).ok_or_else(|| format!("{at} is none of {rule}: {value}"))?
                }
                "anyOf" => {
                    let tries: Vec<_> = rule.as_array().unwrap().iter().map(|one| self.matches(one, value, at)).collect();
                    let fits = tries.iter().any(Result::is_ok);
                    fits.then_some(()).ok_or_else(|| format!("{at} fits none of {}: {tries:?}", tries.len()))?;
                }
                "allOf" => rule.as_array().unwrap().iter().try_for_each(|one| self.matches(one, value, at))?,
                "required" | "properties" | "additionalProperties" => {
                    if let Some(object) = value.as_object() {
                        self.object(word, rule, words, object, at)?;
                    }
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.matches(rule, item, &format!("{at}/{number}"))?;
                    }
                }
                other => panic!("this check does not know `{other}` of a schema"),
            }
        }
        Ok(())
    }

    fn object(&self, word: &str, rule: &Value, words: &Map<String, Value>, object: &Map<String, Value>, at: &str) -> Result<(), String> {
        match word {
            "required" => {
                let missing = rule.as_array().unwrap().iter().find(|name| !object.contains_key(name.as_str().unwrap()));
                missing.map_or(Ok(()), |name| Err(format!("{at} has no {name}")))
            }
            "properties" => {
                let known =
                    rule.as_object().unwrap().iter().filter_map(|(name, schema)| object.get(name).map(|value| (name, schema, value)));
                known.into_iter().try_for_each(|(name, schema, value)| self.matches(schema, value, &format!("{at}/{name}")))
            }
            _ => {
                let named = |name: &String| words.get("properties").is_some_and(|all| all.get(name).is_some());
                let others = object.iter().filter(|(name, _)| !named(name));
                others.into_iter().try_for_each(|(name, value)| self.matches(rule, value, &format!("{at}/{name}")))
            }
        }
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}
