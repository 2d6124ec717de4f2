//! Which flag, what value, what is allowed: each error is the one line that the operator reads.
//!
//! Values are quoted and escaped, so that none of them can break the line.

use std::fmt;

/// A flag that cannot be taken as it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// The value is none of those that the flag takes.
    #[error("--{flag}: {value:?} is not allowed: {allowed}")]
    NotAllowed {
        /// The flag's name without dashes.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is allowed, beginning with "must be".
        allowed: String,
    },
    /// The flag has no default that would do.
    #[error("{} not given: {allowed}", Flags(flags))]
    Missing {
        /// The flags' names without dashes.
        flags: &'static [&'static str],
        /// What is allowed, or where the value could have come from.
        allowed: String,
    },
    /// A variable that is no flag's cannot be taken as it is. Its value is not shown.
    #[error("{0}")]
    Variable(&'static str),
    /// The value means something that this version cannot do, and going on without it would surprise.
    #[error("--{flag}={value} is not supported yet")]
    NotSupported {
        /// The flag's name without dashes.
        flag: &'static str,
        /// What was given, escaped.
        value: String,
    },
}

/// Several flags in one clause, with the verb: `--a, --b and --c are`.
struct Flags<'a>(&'a [&'static str]);

// === impl FlagError ===

impl FlagError {
    /// The value is none of those that the flag takes.
    pub fn not_allowed(flag: &'static str, value: impl Into<String>, allowed: impl fmt::Display) -> Self {
        Self::NotAllowed { flag, value: value.into(), allowed: allowed.to_string() }
    }

    /// The flag has no default that would do.
    pub fn missing(flags: &'static [&'static str], allowed: impl fmt::Display) -> Self {
        Self::Missing { flags, allowed: allowed.to_string() }
    }

    /// This version cannot do what the value asks for.
    pub fn not_supported(flag: &'static str, value: impl fmt::Display) -> Self {
        Self::NotSupported { flag, value: value.to_string().escape_debug().to_string() }
    }

    /// The flag that is to blame, without dashes.
    #[must_use]
    pub fn flag(&self) -> Option<&'static str> {
        match self {
            Self::NotAllowed { flag, .. } | Self::NotSupported { flag, .. } => Some(flag),
            Self::Missing { flags, .. } => flags.first().copied(),
            Self::Variable(_) => None,
        }
    }
}

// === impl Flags ===

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        for (index, flag) in self.0.iter().enumerate() {
            let joint = match index {
                0 => "",
                _ if index == last => " and ",
                _ => ", ",
            };
            write!(f, "{joint}--{flag}")?;
        }
        f.write_str(if last == 0 { " is" } else { " are" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_line_that_names_the_flag() {
        let not_allowed = FlagError::not_allowed("auth", "a\nb", "must be c");
        assert_eq!(not_allowed.to_string(), r#"--auth: "a\nb" is not allowed: must be c"#);
        let not_supported = FlagError::not_supported("auth", "x\ny");
        assert_eq!(not_supported.to_string(), r"--auth=x\ny is not supported yet");
        assert_eq!(FlagError::missing(&["a"], "must be b").to_string(), "--a is not given: must be b");
        assert_eq!(FlagError::missing(&["a", "b"], "why").to_string(), "--a and --b are not given: why");
        assert_eq!(FlagError::missing(&["a", "b", "c"], "why").to_string(), "--a, --b and --c are not given: why");
    }
}
