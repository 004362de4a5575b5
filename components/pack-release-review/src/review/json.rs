//! A review as one JSON document.

use super::document::Review;

/// Writes the document, with a line feed at its end. The lists in it are bounded and all keys are texts, so
/// there is nothing that could fail; if there were, the document would say so.
pub(crate) fn json(review: &Review) -> String {
    let mut text = serde_json::to_string_pretty(review)
        .unwrap_or_else(|_| format!("{{\"schema\":\"{}\",\"error\":\"not-serializable\"}}", review.schema));
    text.push('\n');
    text
}
