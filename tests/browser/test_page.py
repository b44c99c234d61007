"""The status page as its readers use it: with a mouse, with a keyboard, on a phone, in the dark, and under attack."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import MARKS, chromium
from tests.jwks import serving_keys
from tests.minting import SECRET, claims_of, mint, rsa_key
from tests.processes import Served, served

pytestmark = MARKS
ATTACK = "/api/<img/src=x/onerror=document.title='owned'>"
FILE = f"""
upstream: http://127.0.0.1:9
providers:
  people: {{type: clerk, jwks_uri: "KEYS", issuer: "https://clerk.example.com"}}
  jobs: {{type: jwt, secret: {SECRET.decode()}}}
  partners: {{type: oidc, issuer: "https://partners.example.com", jwks_uri: "http://127.0.0.1:9/jwks", audience: x}}
rules: {{company: {{email_domain: yourcompany.com}}}}
routes:
  /api: {{provider: people, allow: company}}
  /jobs: {{provider: jobs, allow: {{role: admin}}}}
  /partners: {{provider: partners, allow: authenticated}}
  GET /health: {{public: true}}
"""
EXPIRED_SECONDS = (9, 11, 340)
SIZES = ((390, 844), (820, 1180), (1280, 900), (1920, 1080))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run a gateway that has refused some requests, one of them written by somebody who knows HTML."""
    with (
        serving_keys() as keys,
        served(FILE.replace("KEYS", keys), tmp_path_factory.mktemp("page")) as running,
    ):
        for path in ("/api/agents", "/api/agents", ATTACK, "/nowhere", "/health"):
            refused(running, path)
        for number, seconds in enumerate(EXPIRED_SECONDS):
            now = time.time()
            refused(running, f"/api/threads/{number}", clerk_token(iat=now - 600, exp=now - seconds))
        yield running


def refused(gateway: Served, path: str, token: str | None = None) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}{path}")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Run Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(gateway: Served, browser: Any) -> Iterator[Any]:
    """Open the page; whatever the browser complains about fails the test."""
    with opened(gateway, browser) as one:
        yield one


class opened:
    """A page in a browser of some shape, for the length of a block."""

    def __init__(self, gateway: Served, browser: Any, **shape: Any) -> None:
        self._gateway, self._context = gateway, browser.new_context(**shape)
        self.complaints: list[str] = []
        self.asked: list[str] = []

    def __enter__(self) -> Any:
        page = self._context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda problem: self.complaints.append(str(problem)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(f"http://127.0.0.1:{self._gateway.admin}/")
        page.wait_for_selector("#routes table")
        return page

    def __exit__(self, *_: object) -> None:
        self._context.close()
        assert self.complaints == []
        own = f"http://127.0.0.1:{self._gateway.admin}/"
        assert [url for url in self.asked if not url.startswith((own, "data:"))] == []


def clerk_token(**changes: Any) -> str:
    now = time.time()
    claims = {"iss": "https://clerk.example.com", "iat": now, "exp": now + 60, "email": ..., "aud": ...} | changes
    return mint(claims_of(**claims), rsa_key(), "RS256", kid="k1")


def test_clerk_token_without_email_is_explained_with_what_to_do(page: Any) -> None:
    token = clerk_token()
    page.fill("#token", token)
    page.click("text=Explain")
    page.wait_for_selector("#answer h3")
    assert page.inner_text("#answer h3") == "403 access_denied: no rule of `allow` holds"
    assert "Customize session token" in page.inner_text(".advice")
    steps = page.inner_text("ol.steps")
    assert "kid k1, fetched" in steps and "the token has no email" in steps
    assert token.rpartition(".")[2] not in page.inner_text("#answer")


def test_good_token_passes(page: Any) -> None:
    page.fill("#token", clerk_token(email="ann@yourcompany.com"))
    page.click("text=Explain")
    page.wait_for_selector("#answer h3.yes")
    assert "passes to default" in page.inner_text("#answer h3")


def test_whole_way_by_keyboard(page: Any) -> None:
    page.focus("#method")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "path"
    page.keyboard.press("Control+A")
    page.keyboard.type("/jobs/x")
    page.keyboard.press("Tab")
    page.keyboard.insert_text(mint(claims_of(roles=["dev"], exp=time.time() + 60, iat=time.time())))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer h3")
    assert "access_denied" in page.inner_text("#answer h3")
    page.focus("#refusals summary")
    page.keyboard.press("Enter")
    assert page.is_visible("#refusals details[open] dd")


def test_refusal_keeps_open_and_in_focus_while_the_page_is_drawn_again(page: Any) -> None:
    page.focus("#refusals summary")
    page.keyboard.press("Enter")
    drawn = page.get_attribute("body", "data-drawn")
    page.wait_for_selector(f"body:not([data-drawn='{drawn}'])")
    assert page.is_visible("#refusals details[open] dd")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_what_strangers_write_is_text(page: Any) -> None:
    for cause in page.locator("#refusals summary").all():
        cause.click()
    assert "<img/src=x" in page.inner_text("#refusals")
    assert page.locator("#refusals img").count() == 0
    assert page.title() == "Mastra auth gateway"
    page.fill("#path", "/<script>document.title='owned'</script>")
    page.click("text=Explain")
    page.wait_for_selector("#answer h3")
    assert page.locator("#answer script").count() == 0
    assert page.title() == "Mastra auth gateway"


def test_routes_and_providers_are_told_in_words(page: Any) -> None:
    assert "company (email at yourcompany.com)" in page.inner_text("#routes")
    assert "fresh" in page.inner_text("#providers") and "ids\nk1" in page.inner_text("#providers")
    assert "a shared secret" in page.inner_text("#providers")
    assert "3 \N{MULTIPLICATION SIGN}" in page.inner_text("#refusals")


def test_what_is_wrong_stands_first_and_says_why_and_what_to_do(page: Any) -> None:
    assert page.inner_text("#ready") == "ready, with trouble"
    first = page.evaluate("document.querySelector('main').firstElementChild.id")
    assert first == "troubles" and page.is_visible("#troubles")
    told = page.inner_text("#troubles")
    assert "provider partners has no usable keys: its callers get 503" in told and "cannot connect" in told
    assert "upstream default gives no answers" in told
    assert told.count("What to do:") == 2 and told.count("since ") == 2


def test_red_badge_has_its_reason_beside_it(page: Any) -> None:
    badges = page.locator(".card .badge.no").all()
    assert [badge.inner_text() for badge in badges] == ["gives no answers", "no keys"]
    for badge in badges:
        assert badge.locator("xpath=ancestor::details[1]").locator("p.no").inner_text()


def test_gateway_that_is_not_ready_says_why(browser: Any, tmp_path: Path) -> None:
    # A provider with a shared secret needs no keys, and would be ready.
    file = "\n".join(line for line in FILE.replace("KEYS", "http://127.0.0.1:9/jwks").split("\n") if "jobs" not in line)
    with served(file, tmp_path, ready_path="/healthz") as gateway, opened(gateway, browser) as page:
        page.wait_for_selector("#ready.no")
        page.wait_for_selector("text=provider people has no usable keys")
        assert page.inner_text("#ready") == "not ready"


def test_caret_below_a_line_of_the_file_stays_where_it_points_on_a_phone(browser: Any, tmp_path: Path) -> None:
    file = FILE.replace("KEYS", "http://127.0.0.1:9/jwks")
    with served(file, tmp_path, ready_path="/healthz") as gateway:
        written = tmp_path / "gateway.yaml"
        written.write_text(written.read_text().replace("provider: jobs, allow", "provider: jobs, alow"))
        with opened(gateway, browser, viewport={"width": SIZES[0][0], "height": SIZES[0][1]}) as page:
            page.wait_for_selector("text=the configuration in the file is not in force")
            drawn = page.locator("#troubles .drawn")
            assert drawn.inner_text().count("\n") == 1 and drawn.inner_text().endswith("^")
            lines = drawn.evaluate(
                "e => e.firstChild && Math.round(e.scrollHeight / parseFloat(getComputedStyle(e).lineHeight))"
            )
            assert lines == 2, "a line of the file was wrapped, and the caret points nowhere"
            assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[0][0]
            assert page.locator("#troubles code").all_inner_texts() == ["gateway check"]


def test_expired_tokens_are_one_cause_whatever_their_seconds_and_paths(page: Any) -> None:
    (row,) = [text for text in page.locator("#refusals summary").all_inner_texts() if "token_expired" in text]
    assert row.split()[:2] == [str(len(EXPIRED_SECONDS)), "\N{MULTIPLICATION SIGN}"] and "3 paths of /api" in row
    page.click("#refusals summary:has-text('token_expired')")
    each = page.inner_text("#refusals details[open] table")
    assert all(f"/api/threads/{number}" in each for number in range(3))


def test_our_own_failures_stand_before_the_callers_mistakes(page: Any) -> None:
    assert "502 upstream_unreachable" in page.locator("#refusals summary").first.inner_text()


def test_form_does_not_stand_above_the_refusals(gateway: Served, browser: Any) -> None:
    for width, height in SIZES:
        with opened(gateway, browser, viewport={"width": width, "height": height}) as page:
            top = "selector => document.querySelector(selector).getBoundingClientRect().top"
            assert page.evaluate(top, "#refusals-title") <= page.evaluate(top, "#explain-title") + 1


def test_rates_have_an_axis_times_and_a_legend(page: Any) -> None:
    labels = page.locator("#rates svg text").all_text_contents()
    assert labels[0] == "0" and float(labels[2]) > 0 and "now" in labels
    assert sum(label[2:3] == ":" for label in labels) == 5  # a clock time for each minute
    assert [word for word in ("let in", "refused", "failed") if word not in page.inner_text("#legend")] == []
    assert "at most" in page.inner_text("#times")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_no_word_breaks_in_a_header_and_nothing_scrolls_sideways(
    gateway: Served, browser: Any, width: int, height: int
) -> None:
    with opened(gateway, browser, viewport={"width": width, "height": height}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for head in page.locator("th, h1, h2, .badge").all():
            if head.is_visible():
                lines = head.evaluate(
                    "e => e.getClientRects().length && e.offsetHeight / parseFloat(getComputedStyle(e).lineHeight)"
                )
                assert lines < 1.9 or " " in head.inner_text(), head.inner_text()
        if width == 390:
            assert page.evaluate("document.documentElement.scrollHeight") < 2_600


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_ground(gateway: Served, browser: Any, scheme: str) -> None:
    with opened(gateway, browser, color_scheme=scheme) as page:
        for selector in ("body", ".soft", ".no", ".yes", "td", "button", ".trouble p", ".badge.yes", ".badge.no", "th"):
            ratio = page.evaluate(CONTRAST, selector)
            assert ratio >= 4.5, f"{selector}: {ratio:.1f} (WCAG 2.2, 1.4.3)"


def test_phone_needs_no_scrolling_sideways(gateway: Served, browser: Any) -> None:
    with opened(gateway, browser, viewport={"width": 360, "height": 740}) as page:
        page.click("#explain-title")
        page.fill("#token", clerk_token())
        page.click("text=Explain")
        page.wait_for_selector("ol.steps")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_every_field_has_a_label_and_every_picture_words(page: Any) -> None:
    for name in ("method", "path", "token"):
        assert page.locator(f"label[for={name}]").count() == 1
    for picture in page.locator("svg").all():
        assert picture.get_attribute("role") == "img" and picture.get_attribute("aria-label")
    assert page.locator("h1").count() == 1


def test_screenshots_are_there_to_be_looked_at(gateway: Served, browser: Any, tmp_path: Path) -> None:
    folder = Path(os.environ.get("GATEWAY_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in SIZES:
        for scheme in ("light", "dark"):
            with opened(gateway, browser, viewport={"width": width, "height": height}, color_scheme=scheme) as page:
                if width == SIZES[0][0]:
                    page.click("#explain-title")
                page.fill("#token", clerk_token())
                page.click("text=Explain")
                page.wait_for_selector("ol.steps")
                page.screenshot(path=folder / f"status-{width}-{scheme}.png", full_page=True)
            assert (folder / f"status-{width}-{scheme}.png").stat().st_size > 10_000


CONTRAST = """selector => {
  const element = document.querySelector(selector), style = getComputedStyle(element);
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  let ground = element;
  while (parse(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const pair = [light(parse(style.color)), light(parse(getComputedStyle(ground).backgroundColor))];
  return (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
}"""
