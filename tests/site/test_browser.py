"""The book as its readers see it: every page in a browser, and the explorer worked with mouse and keyboard."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urldefrag, urlencode

import numpy as np
import pytest

from lsbook import chapters
from lsbook.analysis import calibration, projection, targets
from lsbook.chapters import explorer

PROJECT = Path(__file__).parents[2]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FOUND = """() => {
    const folded = [...document.querySelectorAll(".tag_parameters details")];
    folded.forEach((details) => { details.open = true; });
    const found = {
        links: [...document.querySelectorAll("a[href], area[href]")].map((a) => a.href),
        anchors: [...document.querySelectorAll("[id]")].map((e) => e.id),
        broken: [...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src),
        overflow: document.documentElement.scrollWidth - innerWidth,
        cut: [...document.querySelectorAll("article *")]
            .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
            .filter((e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX))
            .map((e) => `${e.tagName} ${e.innerText.slice(0, 60)}`),
    };
    folded.forEach((details) => { details.open = false; });
    return found;
}"""
CONTRAST = ["color-contrast", "link-in-text-block"]  # rules of axe-core
# Marks the first text of each contrast: of a colour and a size, before the backgrounds of all that it lies in. It takes
# the contrasts of other pages, and returns these and the page's own.
MARK_FIRST_TEXTS = """(known) => {
    const contrasts = new Set(known);
    for (const element of document.querySelectorAll("body *")) {
        if ([...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())) {
            const { color, fontSize, fontWeight } = getComputedStyle(element);
            const contrast = [color, fontSize, fontWeight];
            for (let around = element; around; around = around.parentElement) {
                const { backgroundColor, backgroundImage, opacity } = getComputedStyle(around);
                contrast.push(backgroundColor, backgroundImage, opacity);
            }
            element.toggleAttribute("data-first", !contrasts.has(contrast.join()));
            contrasts.add(contrast.join());
        }
    }
    return [...contrasts];
}"""


class Visit(NamedTuple):
    """What a page did and has: console errors, addresses asked for and refused, what FOUND says, wide and narrow, axe's
    findings in light and dark."""

    errors: list[str]
    requests: list[str]
    refused: list[str]
    wide: dict
    narrow: dict
    findings: list[str]


@pytest.fixture(scope="module")
def built(browser, tmp_path_factory) -> Path:
    """Folder of the book's pages: LSBOOK_PAGES, where somebody has just built them, or built here.

    In a process of its own: Playwright's event loop runs in this one.
    """
    return Path(os.environ.get("LSBOOK_PAGES") or build(tmp_path_factory.mktemp("book"))).resolve()


def build(out: Path) -> Path:
    """The whole book, every chapter executed."""
    subprocess.run([sys.executable, "-m", "lsbook", "build", "--out", out], cwd=PROJECT, check=True)
    return out / "html"


def contents(folder: Path) -> dict[str, bytes]:
    """Of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def address(serve, built) -> str:
    return serve(built)


@pytest.fixture(scope="module")
def visits(browser, built, address) -> dict[str, Visit]:
    """Every page, by address; not the templates among the theme's files, nor the first page, which leads to another.

    What pages share is loaded once: they have one context.
    """
    pages = [path.relative_to(built) for path in sorted(built.rglob("*.html"))]
    pages = [path for path in pages if path.parts[0] != "_static" and path.name != built.joinpath("index.html").name]
    pages.append(Path("book/index.html"))
    with browser.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce") as context:
        contrasts: list[str] = []
        return {f"{address}/{path}": visit(context, f"{address}/{path}", contrasts) for path in pages}


def visit(context, address: str, contrasts: list[str]) -> Visit:
    """Visit a page. Contrasts that were seen before, which are listed, are not looked at again."""
    page = context.new_page()
    errors, requests, refused = [], [], []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("response", lambda response: response.status >= 400 and refused.append(response.url))
    page.goto(address)
    wide = page.evaluate(FOUND)
    # axe-core's time grows with elements: hundreds of rows of the table of all runs are like its first ones.
    but_contrast = {"rules": {name: {"enabled": False} for name in CONTRAST}}
    findings = axe(page, {"exclude": ["tbody tr:nth-child(n + 41)"]}, but_contrast)
    for theme in ("light", "dark"):
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        before, contrasts[:] = len(contrasts), page.evaluate(MARK_FIRST_TEXTS, contrasts)
        if len(contrasts) > before:
            findings += axe(page, {"include": ["[data-first]"]}, {"runOnly": CONTRAST})
    page.set_viewport_size(NARROW)
    narrow = page.evaluate(FOUND)
    page.close()
    return Visit(errors, requests, refused, wide, narrow, findings)


def axe(page, context: dict, options: dict) -> list[str]:
    """axe-core's serious and critical findings. It is kept from asking for the style sheets a second time."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], "preload": False, **options}
    found = Axe().run(page, context, options).response["violations"]
    return [
        f"{violation['id']}: {node['target']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_pages_have_no_errors_and_ask_only_their_own_origin(visits, address):
    assert len(visits) >= 7
    for page, visit in visits.items():
        assert (visit.errors, visit.refused) == ([], []), page
        assert [url for url in visit.requests if not url.startswith((address, "data:"))] == [], page


def test_no_link_and_no_image_is_broken(visits, address, built):
    for page, visit in visits.items():
        assert visit.wide["broken"] == [], page
        for target, fragment in map(urldefrag, visit.wide["links"]):
            if target.startswith(address):
                assert (built / target.removeprefix(address).lstrip("/")).exists(), (page, target)
                assert not fragment or target not in visits or fragment in visits[target].wide["anchors"], (
                    page,
                    fragment,
                )


def test_axe_finds_nothing_serious_in_light_and_dark(visits):
    assert {page: visit.findings for page, visit in visits.items() if visit.findings} == {}


def test_no_page_is_wider_than_the_screen(visits):
    for page, visit in visits.items():
        assert (visit.wide["overflow"], visit.narrow["overflow"]) == (0, 0), page


@pytest.mark.parametrize("form", ["wide", "narrow"])
def test_nothing_on_a_page_scrolls_sideways(visits, form):
    """Neither code, nor tables, formulas and outputs; also not on a phone."""
    cut = {page: getattr(visit, form)["cut"] for page, visit in visits.items() if getattr(visit, form)["cut"]}
    assert cut == {}


@pytest.mark.parametrize(("screen", "screens"), [({"width": 1440, "height": 900}, 1), (NARROW, 2)])
def test_question_picture_and_five_answers_are_in_the_first_screen(browser, address, screen, screens):
    """Of a desktop; of a phone in the first two."""
    page = browser.new_page(viewport=screen, reduced_motion="reduce")
    page.goto(f"{address}/book/index.html")
    ends = [
        page.locator(part).evaluate_all("nodes => nodes.map((node) => node.getBoundingClientRect().bottom)")
        for part in (".bd-article h1", "figure.moving svg", ".answers > ul > li")
    ]
    page.close()
    assert [len(found) for found in ends] == [1, 1, 5]
    assert max(bottom for found in ends for bottom in found) <= screens * screen["height"]


def test_the_first_page_weighs_less_than_400_kilobytes(browser, address):
    """As a host sends it, compressed."""
    page = browser.new_page(viewport=WIDE)
    sizes = []
    page.on("requestfinished", lambda request: sizes.append(len(gzip.compress(request.response().body()))))
    page.goto(f"{address}/book/index.html", wait_until="networkidle")
    page.close()
    assert len(sizes) > 3
    assert sum(sizes) < 400_000


def test_the_picture_plays_once_from_hard_targets_to_the_smoothing_factor(browser, address):
    page = browser.new_page(viewport=WIDE, reduced_motion="no-preference")
    page.clock.install(time=0)
    page.clock.pause_at(1_000)  # time goes on only when it is told to
    page.goto(f"{address}/book/index.html")
    slider, shown = page.locator("#smoothing-factor"), page.locator("figure.moving output")
    page.clock.run_for(100)
    assert (slider.input_value(), shown.inner_text()) == ("0", "hard targets")
    first = page.locator("figure.moving circle").first.get_attribute("cx")
    page.clock.run_for(5_000)
    assert shown.inner_text() == "α = 0.1"
    moved = page.locator("figure.moving circle").first.get_attribute("cx")
    assert moved != first
    slider.press("End")
    page.clock.run_for(1_000)
    assert shown.inner_text() == "α = 0.3"
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(5_000)
    assert shown.inner_text() == "α = 0.1"
    assert page.locator("figure.moving circle").first.get_attribute("cx") == moved
    page.close()


def test_the_picture_stands_still_where_motion_is_unwanted(browser, address):
    page = browser.new_page(viewport=WIDE, reduced_motion="reduce")
    page.goto(f"{address}/book/index.html")
    assert page.locator("figure.moving output").inner_text() == "α = 0.1"
    assert page.get_by_role("button", name="Play").count() == 0
    before = page.locator("figure.moving svg").inner_html()
    page.wait_for_timeout(300)
    assert page.locator("figure.moving svg").inner_html() == before
    page.locator("#smoothing-factor").press("Home")
    assert page.locator("figure.moving output").inner_text() == "hard targets"
    page.close()


def test_every_mark_of_the_grid_leads_to_its_row(browser, address):
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{address}/book/index.html")
    links = page.locator(".verdict-grid a").evaluate_all("nodes => nodes.map((node) => node.href)")
    assert len(links) > 30
    pages = {urldefrag(link).url for link in links}
    assert f"{address}/book/scorecard.html" in pages
    for url in pages:
        page.goto(url)
        rows = set(page.locator(".forest tr[id]").evaluate_all("nodes => nodes.map((node) => node.id)"))
        assert {urldefrag(link).fragment for link in links if urldefrag(link).url == url} <= rows
    page.goto(links[5])
    assert page.locator("tr:target").bounding_box()["y"] < WIDE["height"]
    page.close()


def test_the_forest_plots_draw_what_was_measured(browser, address):
    """Of every claim and unit the places in pixels are one linear function of the values."""
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{address}/book/scorecard.html")
    drawn = page.evaluate("""() => [...document.querySelectorAll(".forest tbody")].map((claim) =>
        [...claim.querySelectorAll("tr[id]")].filter((row) => row.querySelector(".line")).map((row) => {
            const box = (name) => row.querySelector(name).getBoundingClientRect();
            const [line, mean] = [box(".line"), box(".mean")];
            return [row.id, line.left, (mean.left + mean.right) / 2, line.right, box(".threshold").left];
        }))""")
    page.close()
    found = {finding.id: finding for finding in chapters.findings.collect()}
    assert sum(map(len, drawn)) == sum(not np.isnan(finding.change.mean) for finding in found.values())
    for rows in filter(None, drawn):
        places = np.array([row[1:4] for row in rows])
        changes = [found[row[0]].change for row in rows]
        values = np.array([(change.low, change.mean, change.high) for change in changes])
        slope, start = np.polyfit(values.ravel(), places.ravel(), 1)
        np.testing.assert_allclose(places, slope * values + start, atol=1.5)  # pixels


def test_the_site_is_small(built):
    assert sum(map(len, contents(built).values())) < 30_000_000


@pytest.mark.long
def test_two_builds_of_the_whole_book_give_the_same_bytes(built, tmp_path):
    first, second = contents(built), contents(build(tmp_path))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


@pytest.fixture
def page(browser, address):
    """The explorer, for a reader who wants no motion."""
    page = browser.new_page(viewport=WIDE, reduced_motion="reduce")
    page.goto(f"{address}/book/explorer.html")
    yield page
    page.close()


def shown(page, *names: str) -> list[str]:
    return [page.locator(f"output[name={name}]").inner_text() for name in names]


def measured(page, network: str) -> list[str]:
    """The row of a network in the table below the projection."""
    return shown(page, *(f'"{name}-{network}"' for name in ("scatter", "regularity", "distance")))


def points(page) -> list[str]:
    """Where the points of the projection are."""
    return page.locator("#projection .point").evaluate_all("(all) => all.map((p) => p.getAttribute('transform'))")


def test_the_keyboard_sets_a_smoothing_factor_and_a_gap(page):
    page.locator("#alpha").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    gap = float(page.locator("#gap").input_value())
    assert gap > 0
    loss = targets.cross_entropy(np.eye(1, 10) * gap, targets.smooth_targets(np.array([0]), 10, 0.2))[0]
    assert shown(page, "alpha-shown", "best-gap", "least-loss", "loss") == [
        "0.20",
        *(f"{value:.4f}" for value in (targets.optimal_logit_gap(10, 0.2), targets.smallest_loss(10, 0.2), loss)),
    ]
    page.get_by_role("button", name="Go to the optimal gap").press("Enter")
    assert float(page.locator("#gap").input_value()) == pytest.approx(targets.optimal_logit_gap(10, 0.2), abs=0.025)
    page.locator("#alpha").press("Home")
    assert shown(page, "best-gap", "least-loss") == ["none: ever larger", "0.0000"]
    page.get_by_role("button", name="Go to the optimal gap").press("Enter")
    assert page.locator("#gap").input_value() == page.locator("#gap").get_attribute("max")


def test_the_mouse_chooses_classes_networks_and_splits(page):
    comparison = chapters.projections.rows("auto", 0.1, explorer.SEED)[0].comparison
    before = points(page)
    page.get_by_label("α = 0.1", exact=True).click()
    page.get_by_label("test", exact=True).click()
    page.locator("#second").select_option("dog")
    assert points(page) != before
    assert page.locator("#first option:disabled").all_inner_texts() == ["dog", "bird"][::-1]
    for record in (arm.records[0] for arm in comparison.arms):
        found, labels, _ = chapters.projections.projected(record, "test", (0, 5, 2))
        assert measured(page, f"{record.run.alpha:g}") == [
            f"{projection.within_between_scatter(found, labels):.4f}",
            f"{projection.triangle_side_ratio(found, labels):.4f}",
            f"{projection.mean_distance(found):.4f}",
        ]


def test_a_temperature_is_dragged_and_the_fitted_one_chosen(page):
    record = chapters.calibration.study(seeds=explorer.SEED).sweeps[0].records[0.0][0]
    slider = page.locator("#temperature")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.21 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    dragged = float(slider.input_value())
    assert 2 < dragged < 3
    assert shown(page, "ece", "nll", "accuracy") == read(record, dragged, 15)
    page.get_by_role("button", name="T fitted on held-out images").click()
    page.locator("#bins").press("End")
    assert shown(page, "ece", "nll", "accuracy") == read(record, round(record.metrics["temperature"], 2), 50)


def read(record, temperature: float, bins: int) -> list[str]:
    """ECE, NLL and accuracy of a record's test set as Python has them."""
    logits, labels = explorer.shown_logits(record)
    labels = labels.astype(int)
    probabilities = calibration.softmax(logits, temperature)
    diagram = calibration.reliability(probabilities, labels, bins)
    nll = calibration.negative_log_likelihood(logits, labels, temperature)
    return [f"{value:.4f}" for value in (diagram.ece, nll, np.mean(logits.argmax(axis=1) == labels))]


def test_a_view_has_an_address(page, address):
    start = f"{address}/book/explorer.html"
    page.get_by_label("α = 0.1", exact=True).click()
    page.locator("#bins").press("ArrowRight")
    page.wait_for_url(f"{start}#targets=0.1&bins=16")
    wanted = {"first": "3", "split": "test", "network": "cifar10-alexnet-0.1", "temperature": "0.5"}
    page.goto(f"{start}#{urlencode(wanted)}&alpha=much&third=99")
    found = dict(page.evaluate("[...document.forms].flatMap((f) => [...new FormData(f)])"))
    assert found | wanted == found
    assert (found["alpha"], found["third"], found["bins"]) == ("0.1", "2", "15")
    page.goto(f"{start}#second=0&split=test")  # the first class as well
    assert page.evaluate("[...document.forms].map((f) => f.first?.value + f.second?.value).join()").count("01") == 1
    assert "NaN" not in "".join(measured(page, "0"))


def test_points_move_unless_the_reader_wants_no_motion(browser, address, page):
    moving = browser.new_page(viewport=WIDE, reduced_motion="no-preference")
    moving.goto(f"{address}/book/explorer.html")
    for each in (page, moving):
        each.evaluate("""document.querySelector("[name=targets][value='0.1']").click()""")
    assert points(moving) != points(page)
    goal = points(page)
    moving.wait_for_function(
        "(goal) => document.querySelector('#projection .point').getAttribute('transform') === goal", arg=goal[0]
    )
    assert points(moving) == goal
    moving.close()


def test_the_explorer_works_without_a_server(browser, built, page):
    alone = browser.new_page()
    errors = []
    alone.on("pageerror", lambda error: errors.append(str(error)))
    alone.goto(f"{(built / 'book' / 'explorer.html').as_uri()}#temperature=1.5")
    page.locator("#temperature").evaluate(
        "(t) => { t.value = 1.5; t.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    assert shown(alone, "ece") + measured(alone, "0") == shown(page, "ece") + measured(page, "0")
    alone.locator("#bins").press("ArrowRight")
    alone.wait_for_url(lambda url: url.endswith("#temperature=1.5&bins=16"))
    assert errors == []
    alone.close()


def test_every_chart_has_a_text_alternative(page):
    charts = page.locator(".explorer svg.chart")
    texts = charts.evaluate_all(
        "(all) => all.map((c) => [...c.querySelectorAll('title, desc')].map((t) => t.textContent))"
    )
    assert len(texts) == 9
    assert all(title and description for title, description in texts)
    before = texts[3][1]
    page.locator("#temperature").press("End")
    assert page.locator("#reliability desc").text_content() != before


@pytest.mark.parametrize(
    ("path", "home"),
    [
        ("/project/book/renamed.html?q#here", "/project/index.html"),
        ("/book/renamed.html", "/index.html"),
        ("//evil.example/book/renamed.html", "//evil.example/index.html"),  # a path of this host all the same
        ("/%5C/evil.example/book/renamed.html", "/%5C/evil.example/index.html"),
        ("/renamed.html", "/index.html"),
    ],
)
def test_the_way_home_from_a_page_that_is_missing_stays_on_the_host(browser, path, home):
    page = browser.new_page()
    page.route("**", lambda route: route.fulfill(status=404, path=PROJECT / "book" / "_extra" / "404.html"))
    page.goto(f"http://host.example{path}")
    assert page.evaluate("document.getElementById('home').href") == f"http://host.example{home}"
    page.close()
