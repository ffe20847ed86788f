//! Just enough of HTTP for whoever reads metrics: GET, one question of a connection.

use httparse::{EMPTY_HEADER, Error, Request, Status};

/// Bytes of a question. Those of Prometheus have some hundreds.
pub(super) const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Lines of a question after the first.
const HEADERS_MAX: usize = 64;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const INDEX: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Godwit</title></head>\n\
                     <body><h1>Godwit</h1><p><a href=\"/metrics\">Metrics</a></p></body></html>\n";

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It has not all come yet.
    Part,
    /// The metrics.
    Metrics,
    /// What there is.
    Index,
    /// Something that there is not, or in a way that it is not had.
    Wrong(Refused),
}

/// Why nothing is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no question of HTTP/1.
    Malformed,
    /// There is nothing at this path.
    NotFound,
    /// It is something else than GET.
    Method,
    /// It has too many lines or bytes.
    TooLarge,
}

/// Reads what has come so far.
pub(super) fn parse(bytes: &[u8]) -> Asked {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => return Asked::Part,
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => {
            return Asked::Wrong(Refused::TooLarge);
        }
        Err(_) => return Asked::Wrong(Refused::Malformed),
    }
    let hosts = request.headers.iter().filter(|it| it.name.eq_ignore_ascii_case("host")).count();
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Asked::Wrong(Refused::Malformed);
    };
    // HTTP/1.1 has one, so that no two who hear it take it for questions to two.
    if hosts > 1 || version == 1 && hosts == 0 {
        return Asked::Wrong(Refused::Malformed);
    }
    let path = target.split('?').next().unwrap_or(target);
    match (method, path) {
        ("GET", "/metrics") => Asked::Metrics,
        ("GET", "/") => Asked::Index,
        (_, "/metrics" | "/") => Asked::Wrong(Refused::Method),
        _ => Asked::Wrong(Refused::NotFound),
    }
}

/// The answer with the metrics.
pub(super) fn metrics(text: &str) -> Vec<u8> {
    let kind = format!("{}; charset=utf-8", prometheus::TEXT_FORMAT);
    answer("200 OK", "", &kind, text)
}

/// The answer with what there is.
pub(super) fn index() -> Vec<u8> {
    answer("200 OK", "", HTML, INDEX)
}

/// The answer that something is wrong.
pub(super) fn refusal(refused: Refused) -> Vec<u8> {
    let (status, header) = match refused {
        Refused::Malformed => ("400 Bad Request", ""),
        Refused::NotFound => ("404 Not Found", ""),
        Refused::Method => ("405 Method Not Allowed", "Allow: GET\r\n"),
        Refused::TooLarge => ("431 Request Header Fields Too Large", ""),
    };
    answer(status, header, TEXT, &format!("{status}\n"))
}

fn answer(status: &str, header: &str, kind: &str, body: &str) -> Vec<u8> {
    let bytes = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{header}Content-Type: {kind}\r\nContent-Length: {bytes}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n\
         {body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_found_out_when_it_is_whole() {
        let whole = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole.as_bytes()[..end]), Asked::Part, "{}", &whole[..end]);
        }
        assert_eq!(parse(whole.as_bytes()), Asked::Metrics);
        // What comes behind is somebody's mistake, and is not looked at.
        assert_eq!(parse(format!("{whole}GET / HTTP/1.1").as_bytes()), Asked::Metrics);
        assert_eq!(parse(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n"), Asked::Metrics);
        assert_eq!(parse(b"GET / HTTP/1.0\r\n\r\n"), Asked::Index);
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let many = format!("GET / HTTP/1.0\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        let long = format!("GET /{} HTTP/1.0\r\n", "a".repeat(REQUEST_BYTES_MAX));
        for (text, refused) in [
            ("GET /other HTTP/1.0\r\n\r\n", Refused::NotFound),
            ("POST /other HTTP/1.0\r\n\r\n", Refused::NotFound),
            ("GET /metrics/ HTTP/1.0\r\n\r\n", Refused::NotFound),
            ("GET http://a/metrics HTTP/1.0\r\n\r\n", Refused::NotFound),
            ("POST /metrics HTTP/1.0\r\n\r\n", Refused::Method),
            ("HEAD / HTTP/1.0\r\n\r\n", Refused::Method),
            ("get /metrics HTTP/1.0\r\n\r\n", Refused::Method),
            ("GET /metrics HTTP/1.1\r\n\r\n", Refused::Malformed),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Refused::Malformed),
            ("GET /metrics HTTP/2.0\r\n\r\n", Refused::Malformed),
            ("GET /metrics\r\n\r\n", Refused::Malformed),
            ("\u{1}", Refused::Malformed),
            (&many, Refused::TooLarge),
            (&long, Refused::TooLarge),
        ] {
            assert_eq!(parse(text.as_bytes()), Asked::Wrong(refused), "{text}");
        }
    }

    #[test]
    fn an_answer_says_how_long_it_is_and_that_it_is_the_last() {
        for (answer, begin) in [
            (metrics("a 1\n"), "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; "),
            (index(), "HTTP/1.1 200 OK\r\nContent-Type: text/html; "),
            (refusal(Refused::Method), "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"),
            (refusal(Refused::NotFound), "HTTP/1.1 404 "),
            (refusal(Refused::Malformed), "HTTP/1.1 400 "),
            (refusal(Refused::TooLarge), "HTTP/1.1 431 "),
        ] {
            let text = String::from_utf8(answer).unwrap();
            assert!(text.starts_with(begin), "{text}");
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{text}");
            assert!(head.ends_with("\r\nConnection: close"), "{text}");
        }
    }
}
