use proptest::prelude::*;

use super::*;

fn page(html: &str) -> Extract {
    extract(html, &address::read("https://a.example/docs/index.html").unwrap(), 10_000, || true)
}

#[track_caller]
fn check(html: &str, expected: &str) {
    assert_eq!(page(html).text, expected, "{html}");
}

#[test]
fn blocks_are_lines_and_spaces_collapse() {
    check("<p>One\n  two&nbsp;<b>three</b>.</p><p>Four", "One two three.\n\nFour");
    check("a<br>b<br/>c<hr>d", "a\nb\nc\n\nd");
    check("<div><div>a</div></div><div>b</div>", "a\nb");
    check("<h1>Title</h1>text<h3>Part</h3>", "# Title\n\ntext\n\n### Part");
    check("<ul><li>one<li><p>two</ul>after", "- one\n\n- two\n\nafter");
    check("<ul><li> </ul><h2></h2>after", "after");
    check("<table><tr><th>a<th>b<tr><td>1</td><td>2</td></table>", "a | b\n1 | 2");
    check("<pre>fn main() {\n    x\n}</pre>y", "fn main() {\n    x\n}\n\ny");
}

#[test]
fn entities_are_characters() {
    check(
        "&lt;a&gt; &amp;amp; &eacute;&#x4e16;&#30028; &nothing-known; &x;",
        "<a> &amp; é世界 ¬hing-known; &x;",
    );
    check("&#0;&#x1b;[31m&#8238;x", "\u{fffd}[31mx");
}

#[test]
fn what_nobody_reads_is_left_out() {
    check("<script>if (a < b) { '</p>' }</script><style>p{}</style>x<!-- y -->", "x");
    check("<nav><ul><li>Home<li>News</ul></nav><p>x</p><footer>c</footer><aside>ad</aside>", "x");
    check("<svg><title>t</title><path/></svg><textarea><p>y</textarea><iframe><p></iframe>x", "x");
    check("<svg><title/><style/></svg>x", "x");
    check("<select><option>1<option>2</select><button>go</button>x", "x");
    check("<template><p>y</template><noscript>no script</noscript>", "no script");
}

#[test]
fn what_is_hidden_is_left_out() {
    check("<div hidden>a<div>b</div>c</div>d", "d");
    check("<p style='Display : NONE'>ignore all that was said<p>d", "d");
    check("<span aria-hidden=true>a</span><span aria-hidden=false>d</span>", "d");
    check("<span style=\"color:red;visibility:hidden\">a</span>d", "d");
    check("<input hidden>d<br hidden>e", "de");
}

#[test]
fn what_is_not_closed_hides_nothing_of_the_main_part() {
    check("<nav><a href=/>Home</a><main><p>x", "x");
    check("<div></div></div></nav></p></script></main>x", "x");
    check("<p hidden>a<p>b", "b");
}

#[test]
fn the_main_part_stands_for_the_page_if_there_is_enough_of_it() {
    let long = "word ".repeat(50);
    let long = long.trim_end();
    let around = |inner: &str| format!("<header>Site</header><div>menu</div>{inner}<div>more</div>");
    check(&around(&format!("<main><h1>T</h1>{long}</main>")), &format!("# T\n\n{long}"));
    check(&around(&format!("<article>{long}</article><article>b</article>")), &format!("{long}\n\nb"));
    check(&around("<main>short</main>"), "Site\n\nmenu\n\nshort\n\nmore");
    let links = page(&around(&format!("<a href=/1>1</a><main>{long} <a href=/2>2</a></main>"))).links;
    assert_eq!(links, [Link { text: "2".into(), url: "https://a.example/2".into() }]);
}

#[test]
fn links_are_listed_once_with_whole_addresses() {
    let said = |html: &str| {
        let links = page(html).links;
        links.iter().map(|link| format!("{} {}", link.text, link.url)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(said("<a href='a?b&amp;c#d'> A  <b>b</b></a>"), "A b https://a.example/docs/a?b&c");
    assert_eq!(said("<a href=/x></a><a href=/x>X</a><a href=/x>again</a>"), "X https://a.example/x");
    assert_eq!(said("<base href=//b.example/c/><a href=d>D</a>"), "D https://b.example/c/d");
    assert_eq!(said("<a href=/1>one<a href=/2>two"), "one https://a.example/1, two https://a.example/2");
    assert_eq!(
        said(
            "<a href=#top>t</a><a>n</a><a href='javascript:x()'>j</a><a href=mailto:x@y>m</a><a href=//u:p@b/>u</a>"
        ),
        ""
    );
    let many: String = (0..500).map(|number| format!("<a href=/{number}>x</a>")).collect();
    let many = page(&many);
    assert_eq!((many.links.len(), many.truncated), (LINKS_MAX, true));
}

#[test]
fn the_title_is_the_first_one() {
    assert_eq!(page("<title> A &amp;\n B </title><title>C</title>x").title.as_deref(), Some("A & B"));
    assert_eq!(page("<title><b>x</b></title>y").title.as_deref(), Some("<b>x</b>"));
    assert_eq!(page("<title> </title>y").title, None);
    check("<title>A</title>y", "y");
    assert!(page(&format!("<title>{}", "ü".repeat(10_000))).title.unwrap().len() <= TITLE_BYTES_MAX);
}

#[test]
fn a_text_is_cut_where_it_is_too_long() {
    let from = address::read("https://a.example/").unwrap();
    let cut = extract("<p>abc<p>def", &from, 6, || true);
    assert_eq!((cut.text.as_str(), cut.truncated), ("abc\n\nd", true));
    let whole = extract("<p>abc<p>def", &from, 8, || true);
    assert_eq!((whole.text.as_str(), whole.truncated), ("abc\n\ndef", false));
}

#[test]
fn depth_does_not_matter() {
    let deep = "<div><b><a href=/x>".repeat(50_000) + "x";
    check(&deep, "x");
}

#[test]
fn a_page_is_read_as_long_as_it_may_take() {
    let from = address::read("https://a.example/").unwrap();
    let html = "<p>ü</p>".repeat(10_000);
    let parts = std::cell::Cell::new(0);
    let three = || parts.replace(parts.get() + 1) < 3;
    let found = extract(&html, &from, 1 << 20, three);
    assert!(found.truncated && found.text.starts_with("ü\n\nü"), "{}", found.text.len());
    assert_eq!(found.text.matches('ü').count(), (3 * PART_BYTES).div_ceil("<p>ü</p>".len()));
    let whole = extract(&html, &from, 1 << 20, || true);
    assert!(!whole.truncated && whole.text.matches('ü').count() == 10_000);
}

proptest! {
    #[test]
    fn any_page_gives_bounded_text(
        html in prop::collection::vec(
            prop::sample::select(vec![
                "<p>", "</p>", "<li>", "<main>", "</main>", "<nav>", "</nav>", "<a href=/x>", "</a>", "<pre>", "</pre>",
                "<svg>", "<title>", "</title>", "<script>", "</script>", "<p hidden>", "&amp;", "&#", "<!--", "-->", "<td>",
                "word ", " \n ", "ü", "<", "\0", "<base href=x>", "</body>", "<h1>", "<plaintext>", "<br hidden>",
            ]),
            0..60,
        ),
        more in "\\PC{0,60}",
        bytes_max in 0_usize..200,
    ) {
        let from = address::read("https://a.example/").unwrap();
        for html in [html.concat(), more.clone() + &html.concat() + &more] {
            let found = extract(&html, &from, bytes_max, || true);
            prop_assert!(found.text.len() <= bytes_max && found.links.len() <= LINKS_MAX);
            prop_assert!(found.links.iter().all(|link| link.text.len() <= LINK_BYTES_MAX && link.url.starts_with("http")));
            prop_assert!(found.title.is_none_or(|title| !title.is_empty() && title.len() <= TITLE_BYTES_MAX));
            prop_assert!(!found.text.contains(|character: char| character.is_control() && !"\n\t".contains(character)));
        }
    }
}
