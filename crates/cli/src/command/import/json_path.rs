//! One field of a JSON value, found while the rest is checked and passed over: no tree is built.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Numbers with a greater magnitude may have lost digits when they were parsed.
const GREATEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// The text of the field at `path` in the JSON value `text`.
///
/// A name with dots in it is found as such; otherwise each dot steps into an object, or into an
/// array by number.
pub(super) fn find(text: &str, path: &str) -> Result<String, String> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let found =
        Step { rest: Some(path) }.deserialize(&mut parser).map_err(|error| not_json(&error))?;
    parser.end().map_err(|error| not_json(&error))?;
    found.unwrap_or_else(|| Err(format!("it has no field `{path}`")))
}

/// Refuses what is no JSON.
pub(super) fn check(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> String {
    // The parser saw one line and calls it the first.
    let (column, error) = (error.column(), error.to_string());
    let what = error.split(" at line ").next().unwrap_or(&error);
    format!("it is not JSON: {what} at column {column}")
}

/// What a step found: nothing, the text of the field, or why the field cannot be a key.
type Found = Option<Result<String, String>>;

/// One step of the path: what is left of it, or nothing when the field is reached.
#[derive(Clone, Copy)]
struct Step<'p> {
    rest: Option<&'p str>,
}

impl Step<'_> {
    /// The step into the member `name`, if the path goes there.
    fn into_member(self, name: &str) -> Option<Self> {
        let rest = self.rest?;
        if rest == name {
            return Some(Self { rest: None });
        }
        let rest = rest.strip_prefix(name)?.strip_prefix('.')?;
        Some(Self { rest: Some(rest) })
    }

    fn reached(self, text: impl FnOnce() -> Result<String, String>) -> Found {
        self.rest.is_none().then(text)
    }

    fn is_reached(self) -> Found {
        self.reached(|| Err("the key field is neither text nor a number".to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
        Ok(self.reached(|| Ok(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Found, E> {
        Ok(self.reached(|| Ok(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Found, E> {
        Ok(self.reached(|| Ok(number.to_string())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Found, E> {
        Ok(self.reached(|| {
            if number.abs() < GREATEST_EXACT {
                Ok(number.to_string())
            } else {
                Err("the key field is a number too large to be kept exactly: make it text".into())
            }
        }))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Found, E> {
        Ok(self.reached(|| Ok(truth.to_string())))
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(self.is_reached())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        // Of members with one name the last counts, as in every common parser.
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            match self.into_member(&name) {
                Some(step) => {
                    let is_exact = step.rest.is_none();
                    let inside = map.next_value_seed(step)?;
                    if is_exact || inside.is_some() {
                        found = inside;
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self.is_reached().or(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Found, A::Error> {
        let mut found = None;
        for at in 0_usize.. {
            let step = self.into_member(&at.to_string());
            let is_more = match step {
                Some(step) => {
                    let inside = sequence.next_element_seed(step)?;
                    let is_more = inside.is_some();
                    found = inside.flatten().or(found);
                    is_more
                }
                None => sequence.next_element::<IgnoredAny>()?.is_some(),
            };
            if !is_more {
                break;
            }
        }
        Ok(self.is_reached().or(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_steps_into_objects_and_arrays() {
        let text = r#"{"a":{"b":"x","c":7},"d":[1,{"e":-2}],"f.g":"dots","h":1.5,"i":true}"#;
        for (path, value) in [
            ("a.b", "x"),
            ("a.c", "7"),
            ("d.0", "1"),
            ("d.1.e", "-2"),
            ("f.g", "dots"),
            ("h", "1.5"),
            ("i", "true"),
        ] {
            assert_eq!(find(text, path).as_deref(), Ok(value), "{path}");
        }
        for path in ["a", "d", "a.x", "f", "z", "", "a.b.c", "d.2"] {
            assert!(find(text, path).is_err(), "{path}");
        }
    }

    #[test]
    fn odd_keys_are_refused_or_kept_exactly() {
        assert_eq!(find(r#"{"a":"\u00e9\n"}"#, "a").unwrap(), "é\n");
        assert_eq!(find(r#"{"\u0061":1,"a":2}"#, "a").unwrap(), "2");
        assert_eq!(find(r#"{"a":18446744073709551615}"#, "a").unwrap(), "18446744073709551615");
        assert!(find(r#"{"a":18446744073709551616}"#, "a").unwrap_err().contains("too large"));
        assert!(find(r#"{"a":null}"#, "a").unwrap_err().contains("neither"));
        assert!(find("[1]", "a").unwrap_err().contains("no field"));
    }

    #[test]
    fn all_of_the_line_must_be_json() {
        for text in [r#"{"a":1"#, r#"{"a":1} x"#, r#"{"a":1,}"#, "", "{", r#"{"a":1,"b":tru}"#] {
            assert!(find(text, "a").unwrap_err().contains("not JSON"), "{text}");
            assert!(check(text).unwrap_err().contains("not JSON"), "{text}");
        }
        assert!(check("17").is_ok());
        let deep = format!("{{\"a\":1,\"b\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(find(&deep, "a").unwrap(), "1");
    }
}
