//! The name and the password that a call of Attach carries: `authorization: Basic <base64 of name:password>` (RFC 7617).

use base64::{Engine, engine::general_purpose::STANDARD};
use common::auth::Secret;
use http::{HeaderMap, header::AUTHORIZATION};

/// What somebody who attaches says of itself; nothing of it is believed yet.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) name: String,
    pub(super) password: Secret,
}

// === impl Login ===

impl Login {
    /// The one that a call has, if it has just one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        if value.len() > LONGEST {
            return None;
        }
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        Some(Self { name: name.to_owned(), password: Secret::new(password) })
    }
}

/// Of the header. bcrypt looks at 72 bytes of a password.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn login(value: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        Login::of(&headers).map(|login| (login.name, login.password.reveal().to_owned()))
    }

    #[test]
    fn a_password_may_hold_a_colon_and_a_name_may_not() {
        for value in ["Basic YWdlbnQ6YTpi", "basic YWdlbnQ6YTpi"] {
            assert_eq!(login(value), Some(("agent".into(), "a:b".into())), "{value}");
        }
        // Of `agent:`, and of `:b`: whether that is anybody is not asked here.
        assert_eq!(login("Basic YWdlbnQ6"), Some(("agent".into(), String::new())));
        assert_eq!(login("Basic OmI="), Some((String::new(), "b".into())));
    }

    #[test]
    fn what_is_no_login_is_none() {
        for value in ["", "Basic", "Basic ", "Basic YWdlbnQ=", "Basic !", "Bearer YWdlbnQ6YTpi", "Basic //9hOmI="] {
            assert_eq!(login(value), None, "{value}");
        }
        assert_eq!(login(&format!("Basic {}", STANDARD.encode(format!("a:{}", "b".repeat(800))))), None);
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic YWdlbnQ6YTpi"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic YWdlbnQ6YTpi"));
        assert!(Login::of(&headers).is_none(), "whose login counts, nobody can tell");
    }

    #[test]
    fn debug_output_does_not_show_the_password() {
        let login = Login { name: "agent".into(), password: Secret::new("hunter2") };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
