//! The API server's answer, chunk by chunk, decompressed where it came compressed.

use bytes::Bytes;
use common::Refusal;
use http::{HeaderMap, header::CONTENT_ENCODING};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{gzip::Gunzip, scan::ScanError};

/// The body of an answer that is looked through.
#[derive(Debug)]
pub(super) struct Source {
    body: Incoming,
    gunzip: Option<Gunzip>,
    over: bool,
}

/// Why an answer does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// It is not what its headers say.
    #[error("the answer of the API server cannot be read")]
    Scan(#[source] ScanError),
    /// It broke off.
    #[error("the answer of the API server broke off")]
    Broken(#[source] hyper::Error),
    /// It cannot be decided what of it may be shown.
    #[error("{}", .0.text())]
    Refused(Refusal),
}

// === impl Source ===

impl Source {
    /// `None` where the body is compressed in a way that kube-apiserver does not use.
    pub(super) fn new(headers: &HeaderMap, body: Incoming) -> Option<Self> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = codings.next().map_or(Some("identity"), |coding| coding.to_str().ok())?;
        let gunzip = match coding.trim() {
            "" | "identity" => None,
            "gzip" => Some(Gunzip::new()),
            _ => return None,
        };
        codings.next().is_none().then_some(Self { body, gunzip, over: false })
    }

    /// Whether it came compressed.
    pub(super) fn is_gzip(&self) -> bool {
        self.gunzip.is_some()
    }

    /// The next chunk. `None` at the end, however often it is asked.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            if let Some(gunzip) = &mut self.gunzip
                && let Some(plain) = gunzip.next().map_err(SourceError::Scan)?
            {
                return Ok(Some(plain));
            }
            if self.over {
                return Ok(None);
            }
            let Some(frame) = self.body.frame().await else {
                self.over = true;
                let Some(gunzip) = &mut self.gunzip else { continue };
                let last = gunzip.finish().map_err(SourceError::Scan)?;
                return Ok(Some(last));
            };
            let Ok(data) = frame.map_err(SourceError::Broken)?.into_data() else { continue };
            match &mut self.gunzip {
                Some(gunzip) => gunzip.push(data),
                None => return Ok(Some(data)),
            }
        }
    }
}

// === impl SourceError ===

impl SourceError {
    /// What the caller is told where nothing was answered yet.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Scan(ScanError::ItemTooLarge { .. }) => Refusal::ItemTooLarge,
            Self::Scan(_) => Refusal::Undecidable("the answer of the API server cannot be read".into()),
            Self::Broken(_) => Refusal::UpstreamUnreachable("its answer broke off".into()),
            Self::Refused(refusal) => refusal.clone(),
        }
    }
}
