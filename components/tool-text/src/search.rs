//! `search`: the documents that fit a query best.

use crate::words::words;
use crate::{Error, bounded};

/// Most documents.
pub const DOCUMENTS_MAX: usize = 10_000;
/// Longest sum of all documents, in bytes.
pub const DOCUMENTS_BYTES_MAX: usize = 2 << 20;
/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 4 << 10;
/// Most different words in a query. Each is counted in each document.
pub const QUERY_WORDS_MAX: usize = 256;
/// Most hits.
pub const LIMIT_MAX: usize = 1_000;
/// Hits when the caller does not say.
const LIMIT_DEFAULT: u32 = 10;
/// Longest snippet, in characters.
const SNIPPET_CHARACTERS_MAX: usize = 200;
/// Characters of a snippet before the word that was found.
const SNIPPET_LEAD_CHARACTERS: usize = 60;

// The usual values: S. Robertson and H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009.
/// How soon more of the same word stops mattering.
const K1: f64 = 1.2;
/// How much a long document is held against itself.
const B: f64 = 0.75;

/// A document that fits a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which document, counted from 0.
    pub document: usize,
    /// How well it fits: more is better.
    pub score: f64,
    /// The part around the first word of the query.
    pub snippet: String,
}

/// What is known of a document that holds a word of the query.
struct Candidate {
    document: usize,
    /// How many words the document has.
    length: usize,
    /// How often it holds each word of the query.
    frequencies: Vec<u32>,
    /// Where the first one is, in bytes.
    first: usize,
}

/// Finds the documents that fit a query best, the best first and equally good ones in their order.
pub fn search(documents: &[&str], query: &str, limit: Option<u32>) -> Result<Vec<Found>, Error> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT) as usize;
    bounded("limit", limit, LIMIT_MAX)?;
    bounded("query-bytes", query.len(), QUERY_BYTES_MAX)?;
    bounded("documents", documents.len(), DOCUMENTS_MAX)?;
    bounded("documents-bytes", documents.iter().map(|text| text.len()).sum(), DOCUMENTS_BYTES_MAX)?;
    let mut terms: Vec<String> = words(query).map(|word| word.folded).collect();
    terms.sort_unstable();
    terms.dedup();
    if terms.is_empty() {
        return Err(Error::NoWords);
    }
    bounded("query-words", terms.len(), QUERY_WORDS_MAX)?;
    let (candidates, words_in_all) = read(documents, &terms);
    let mut ranked = rank(&candidates, terms.len(), documents.len(), words_in_all);
    ranked.truncate(limit);
    let found = ranked.into_iter().filter_map(|(score, candidate)| {
        let text = documents.get(candidate.document)?;
        Some(Found { document: candidate.document, score, snippet: snippet(text, candidate.first) })
    });
    Ok(found.collect())
}

/// The documents with at least one of the terms, which are sorted, and the number of words of all documents.
fn read(documents: &[&str], terms: &[String]) -> (Vec<Candidate>, usize) {
    let mut candidates = vec![];
    let mut words_in_all = 0;
    for (document, text) in documents.iter().enumerate() {
        let mut length = 0;
        let mut first = None;
        let mut frequencies = vec![];
        for word in words(text) {
            length += 1;
            let Ok(term) = terms.binary_search(&word.folded) else { continue };
            first.get_or_insert(word.span.start);
            frequencies.resize(terms.len(), 0_u32);
            if let Some(frequency) = frequencies.get_mut(term) {
                *frequency += 1;
            }
        }
        words_in_all += length;
        if let Some(first) = first {
            candidates.push(Candidate { document, length, frequencies, first });
        }
    }
    (candidates, words_in_all)
}

fn rank(
    candidates: &[Candidate],
    terms: usize,
    documents: usize,
    words_in_all: usize,
) -> Vec<(f64, &Candidate)> {
    let mut held_by = vec![0_u32; terms];
    for candidate in candidates {
        for (count, frequency) in held_by.iter_mut().zip(&candidate.frequencies) {
            *count += u32::from(*frequency > 0);
        }
    }
    // A rare word says more. The 1 inside keeps it above 0 for a word that every document holds.
    let weight = |held_by: &u32| {
        let held_by = f64::from(*held_by);
        ((documents as f64 - held_by + 0.5) / (held_by + 0.5) + 1.0).ln()
    };
    let weights: Vec<f64> = held_by.iter().map(weight).collect();
    // A candidate holds a word, so with one there are documents and words.
    let length_mean = words_in_all as f64 / documents as f64;
    let score = |candidate: &Candidate| {
        let norm = K1 * (1.0 - B + B * candidate.length as f64 / length_mean);
        let part = |(weight, frequency): (&f64, &u32)| {
            let frequency = f64::from(*frequency);
            weight * frequency * (K1 + 1.0) / (frequency + norm)
        };
        weights.iter().zip(&candidate.frequencies).map(part).sum::<f64>()
    };
    let mut ranked: Vec<(f64, &Candidate)> =
        candidates.iter().map(|candidate| (score(candidate), candidate)).collect();
    ranked.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    ranked
}

/// The part of a text around a place in it, on one line; `…` stands for what was left out.
fn snippet(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let lead = before.char_indices().rev().take(SNIPPET_LEAD_CHARACTERS).last();
    let start = lead.map_or(at, |(start, _)| start);
    let mut kept = String::from(if start > 0 { "…" } else { "" });
    let (mut characters, mut gap) = (kept.chars().count(), false);
    for character in text.get(start..).unwrap_or_default().chars() {
        if character.is_whitespace() || character.is_control() {
            gap = characters > 0;
            continue;
        }
        characters += 1 + usize::from(gap);
        // One is kept for the last `…`.
        if characters >= SNIPPET_CHARACTERS_MAX {
            kept.push('…');
            break;
        }
        if std::mem::take(&mut gap) {
            kept.push(' ');
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(documents: &[&str], query: &str, expected: &[usize]) {
        let found = search(documents, query, None).unwrap();
        assert_eq!(found.iter().map(|found| found.document).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn finds_documents_with_a_word_of_the_query() {
        check(&["soup", "the release", "bread"], "Release!", &[1]);
        check(&["soup"], "bread", &[]);
        check(&[], "bread", &[]);
    }

    #[test]
    fn prefers_rare_words_more_of_them_and_short_documents() {
        check(&["common common", "common rare", "common"], "common rare", &[1, 0, 2]);
        check(&["fix once and more", "fix fix and more"], "fix", &[1, 0]);
        check(&["fix and many more words than that", "fix it"], "fix", &[1, 0]);
    }

    #[test]
    fn keeps_the_order_of_equally_good_documents() {
        check(&["same", "same", "other", "same"], "same", &[0, 1, 3]);
    }

    #[test]
    fn gives_the_score_of_the_formula() {
        // Two documents of one word, one holds it: ln(1.5 / 1.5 + 1) * 2.2 / (1 + 1.2).
        let found = search(&["a", "b"], "a a", None).unwrap();
        assert!((found[0].score - 2_f64.ln()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn gives_no_more_than_the_limit() {
        assert_eq!(search(&["a"; 20], "a", None).unwrap().len(), 10);
        assert_eq!(search(&["a"; 20], "a", Some(3)).unwrap().len(), 3);
        assert_eq!(search(&["a"; 20], "a", Some(0)).unwrap().len(), 0);
    }

    #[test]
    fn shows_the_words_around_the_first_match() {
        let text = format!("{}\n the  needle\tis here {}", "x".repeat(100), "y ".repeat(500));
        let found = search(&[&text], "needle", None).unwrap();
        let snippet = &found[0].snippet;
        assert!(snippet.starts_with("…xxx") && snippet.contains("x the needle is here y y"), "{snippet}");
        assert!(snippet.ends_with('…') && snippet.chars().count() <= 200, "{snippet}");
        assert_eq!(search(&["a  needle"], "needle", None).unwrap()[0].snippet, "a needle");
    }

    #[test]
    fn refuses_what_is_too_large_or_empty() {
        let refused = |name, maximum, used| Err(Error::TooLarge { name, maximum, used });
        assert_eq!(search(&[], "a", Some(1_001)), refused("limit", 1_000, 1_001));
        assert_eq!(search(&[], &"a".repeat(4_097), None), refused("query-bytes", 4_096, 4_097));
        assert_eq!(search(&[""; 10_001], "a", None), refused("documents", 10_000, 10_001));
        let many = (0..257).map(|number| format!("{number} ")).collect::<String>();
        assert_eq!(search(&[], &many, None), refused("query-words", 256, 257));
        let large = "a".repeat(1 << 20);
        assert_eq!(
            search(&[&large, &large, "a"], "a", None),
            refused("documents-bytes", 2_097_152, 2_097_153)
        );
        assert_eq!(search(&["a"], " - ", None), Err(Error::NoWords));
    }

    proptest! {
        #[test]
        fn ranks_any_documents(documents in prop::collection::vec("\\PC{0,40}|[a-c \n]{0,40}", 0..20), query in "[a-c ]{0,9}|\\PC{0,9}") {
            let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
            let Ok(found) = search(&texts, &query, Some(1_000)) else { return Ok(()) };
            for pair in found.windows(2) {
                prop_assert!(pair[0].score > pair[1].score || pair[0].score == pair[1].score && pair[0].document < pair[1].document);
            }
            let terms: Vec<String> = words(&query).map(|word| word.folded).collect();
            for (document, text) in texts.iter().enumerate() {
                let holds = words(text).any(|word| terms.contains(&word.folded));
                prop_assert_eq!(holds, found.iter().any(|found| found.document == document));
            }
            for found in found {
                prop_assert!(found.score > 0.0 && found.score.is_finite());
                prop_assert!(found.snippet.chars().count() <= 200 && !found.snippet.contains('\n'));
            }
        }
    }
}
