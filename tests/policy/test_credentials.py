"""Where a token may stand, and what two of them mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.policy.credentials import MAX_TOKEN_BYTES, check_origin, find_credential
from gateway.policy.denied import Denied
from gateway.policy.model import Headers, RequestHead
from gateway.policy.origins import Origins
from gateway.policy.parameters import without_parameter
from gateway.policy.providers import BEARER, TokenSource
from gateway.policy.reasons import Reason

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl"
BARE = TokenSource("bare")
COOKIE = TokenSource("cookie", "__session")
QUERY = TokenSource("query", "apiKey")
PROTOCOL = TokenSource("websocket_protocol")
HEADER = TokenSource("header", "x-goog-iap-jwt-assertion")


def head(*lines: tuple[str, str], method: str = "GET", scheme: str = "https") -> RequestHead:
    return RequestHead(method, "/api", Headers([("Host", "gw.test"), *lines]), "192.0.2.1", scheme)


def asserted(*values: str) -> RequestHead:
    return head(*(("X-Goog-IAP-JWT-Assertion", value) for value in values))


def authorization(*values: str) -> RequestHead:
    return head(*(("Authorization", value) for value in values))


@pytest.mark.parametrize(
    "value",
    [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}", f"  Bearer {TOKEN}  "],
    ids=["usual", "lower", "upper-and-spaces", "padded"],
)
def test_bearer_is_found_in_any_case(value: str) -> None:
    found = find_credential(authorization(value), "", (BEARER,))
    assert found is not None
    assert (found.token, found.source) == (TOKEN, BEARER)


def test_token_that_was_seen_while_reading_is_taken_where_only_bearer_counts() -> None:
    seen = replace(head(), bearer=TOKEN)  # no headers: whoever looked at them has looked
    found = find_credential(seen, "", (BEARER,))
    assert found is not None and (found.token, found.source) == (TOKEN, BEARER)
    assert find_credential(replace(authorization(f"Bearer {TOKEN}"), bearer=""), "", (BEARER,)) is None


@pytest.mark.parametrize("sources", [(COOKIE,), (QUERY,), (QUERY, BEARER), (BEARER, QUERY, COOKIE)])
def test_token_that_was_seen_while_reading_is_not_enough_where_others_count(sources: tuple[TokenSource, ...]) -> None:
    cookie, query = ("Cookie", "__session=a.b.c"), "?apiKey=a.b.c"
    seen = replace(head(("Authorization", f"Bearer {TOKEN}"), cookie), bearer=TOKEN)
    if BEARER not in sources:
        found = find_credential(seen, query, sources)
        assert found is not None and found.token == "a.b.c"
        return
    with pytest.raises(Denied) as refusal:
        find_credential(seen, query, sources)
    assert refusal.value.reason is Reason.SEVERAL_CREDENTIALS


@pytest.mark.parametrize("value", ["", "None", "Basic dXNlcjpwYXNz", TOKEN, f"Token {TOKEN}", f"Bearer{TOKEN}"])
def test_another_scheme_is_no_token(value: str) -> None:
    assert find_credential(authorization(value), "", (BEARER,)) is None


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Bearer,x", f"Bearer {TOKEN}, Bearer {TOKEN}", f"Bearer {TOKEN} x", "bearer\tx"]
)
def test_bearer_with_anything_but_one_token_is_malformed(value: str) -> None:
    with pytest.raises(Denied) as refusal:
        find_credential(authorization(value), "", (BEARER,))
    assert refusal.value.reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("request_head", "query", "sources"),
    [
        pytest.param(authorization(f"Bearer {TOKEN}", f"Bearer {TOKEN}"), "", (BEARER,), id="same-header-twice"),
        pytest.param(authorization("Basic x", f"Bearer {TOKEN}"), "", (BEARER,), id="basic-and-bearer"),
        pytest.param(authorization(f"Bearer {TOKEN}"), f"?apiKey={TOKEN}", (BEARER, QUERY), id="query"),
        pytest.param(head(), f"?apiKey={TOKEN}&apiKey=x", (QUERY,), id="query-twice"),
        pytest.param(head(), f"?apiKey={TOKEN}&apiKey", (QUERY,), id="query-twice-one-without-value"),
        pytest.param(head(), f"?apiKey[]=x&apiKey={TOKEN}", (QUERY,), id="query-in-brackets"),
        pytest.param(head(), f"?%61piKey=&apiKey={TOKEN}", (QUERY,), id="query-encoded"),
        pytest.param(head(("Cookie", "__session=a; __session=b")), "", (COOKIE,), id="cookie-twice"),
        pytest.param(head(("Cookie", f"__session=; __session={TOKEN}")), "", (COOKIE,), id="cookie-empty-first"),
        pytest.param(head(("Cookie", f"__session ={TOKEN}; __session=b")), "", (COOKIE,), id="cookie-space"),
        pytest.param(head(("Cookie", f"__session\t= x;__session={TOKEN}")), "", (COOKIE,), id="cookie-tab"),
        pytest.param(head(("Cookie", f"__session; __session={TOKEN}")), "", (COOKIE,), id="cookie-without-value"),
        pytest.param(
            head(("Cookie", f"__session={TOKEN}"), ("Cookie", "a=b; __session=x")),
            "",
            (COOKIE,),
            id="cookie-in-two-lines",
        ),
        pytest.param(
            head(("Cookie", f"__session={TOKEN}")), f"?apiKey={TOKEN}", (QUERY, COOKIE), id="query-and-cookie"
        ),
        pytest.param(asserted(TOKEN, TOKEN), "", (HEADER,), id="header-twice"),
        pytest.param(asserted("", TOKEN), "", (HEADER,), id="header-twice-one-empty"),
        pytest.param(asserted(f"{TOKEN}, {TOKEN}"), "", (HEADER,), id="header-joined-on-the-way"),
        pytest.param(asserted(f"{TOKEN},"), "", (HEADER,), id="header-joined-with-an-empty-one"),
        pytest.param(
            head(("Authorization", f"Bearer {TOKEN}"), (HEADER.name, TOKEN)),
            "",
            (BEARER, HEADER),
            id="header-and-bearer",
        ),
        pytest.param(asserted(TOKEN), f"?apiKey={TOKEN}", (QUERY, HEADER), id="header-and-query"),
        pytest.param(
            head((HEADER.name, TOKEN), ("X-Other", TOKEN)), "", (HEADER, TokenSource("header", "x-other")), id="headers"
        ),
        pytest.param(
            head(("Authorization", "Basic x"), ("Authorization", "Basic x"), (HEADER.name, TOKEN)),
            "",
            (HEADER,),
            id="two-lines-that-do-not-count",
        ),
        pytest.param(
            head(("Authorization", f"Bearer {TOKEN}"), ("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", TOKEN)),
            "",
            (BEARER, PROTOCOL),
            id="sub-protocol",
        ),
    ],
)
def test_two_credentials_are_refused(request_head: RequestHead, query: str, sources: tuple[TokenSource, ...]) -> None:
    # RFC 6750 section 2: one method per request; gateway and upstream may choose different ones.
    with pytest.raises(Denied) as refusal:
        find_credential(request_head, query, sources)
    assert refusal.value.reason is Reason.SEVERAL_CREDENTIALS


@pytest.mark.parametrize("sources", [(BEARER, COOKIE), (COOKIE, BEARER), (COOKIE, BARE)])
@pytest.mark.parametrize("cookie", [f"__session={TOKEN}", "__session=x; __session=y", "__session=%"])
@pytest.mark.parametrize("was_seen", [False, True])
def test_cookies_are_not_looked_at_beside_a_token_in_authorization(
    sources: tuple[TokenSource, ...], cookie: str, was_seen: bool
) -> None:
    # A browser adds them unasked to what a page sends.
    value = "aaa.bbb.ccc" if BARE in sources else "Bearer aaa.bbb.ccc"
    request_head = head(("Authorization", value), ("Cookie", cookie))
    seen = replace(request_head, bearer="aaa.bbb.ccc") if was_seen and BEARER in sources else request_head
    found = find_credential(seen, "", sources)
    assert found is not None and (found.token, found.source) == ("aaa.bbb.ccc", BARE if BARE in sources else BEARER)


def test_another_scheme_leaves_the_cookie_to_count() -> None:
    found = find_credential(
        head(("Authorization", "Basic eA=="), ("Cookie", f"__session={TOKEN}")), "", (BEARER, COOKIE)
    )
    assert found is not None and found.source == COOKIE


def test_places_that_no_provider_names_are_not_looked_at() -> None:
    request_head = head(("Cookie", f"__session={TOKEN}"), ("Sec-WebSocket-Protocol", TOKEN), ("Upgrade", "websocket"))
    assert find_credential(request_head, f"?apiKey={TOKEN}", (BEARER,)) is None
    assert find_credential(authorization(f"Bearer {TOKEN}"), "", (COOKIE,)) is None


def test_cookie_is_found_among_others() -> None:
    found = find_credential(head(("Cookie", f'a=b; __session="{TOKEN}"; __session_x=no')), "", (BEARER, COOKIE))
    assert found is not None
    assert (found.token, found.source) == (TOKEN, COOKIE)
    assert find_credential(head(("Cookie", "__session=")), "", (COOKIE,)) is None


def test_query_is_found_by_its_decoded_name() -> None:
    found = find_credential(head(), f"?x=1&api%4Bey={TOKEN}", (QUERY,))
    assert found is not None
    assert found.token == TOKEN
    assert find_credential(head(), "?apikey=x&apiKey=", (QUERY,)) is None


def test_bare_authorization_is_a_token_where_the_file_says_so() -> None:
    found = find_credential(authorization(TOKEN), "", (BEARER, BARE))
    assert found is not None
    assert (found.token, found.source) == (TOKEN, BARE)
    assert find_credential(authorization(f"Token {TOKEN}"), "", (BARE,)) is None
    assert find_credential(authorization(f"Bearer {TOKEN}"), "", (BARE,)) is None


@pytest.mark.parametrize("value", [TOKEN, f"  {TOKEN}\t", f"Bearer {TOKEN}", f"BEARER  {TOKEN}"])
@pytest.mark.parametrize("beside", [(), (("Authorization", f"Bearer {TOKEN}x"),), (("Cookie", "__session=x"),)])
def test_header_of_another_name_holds_a_token_with_or_without_bearer(
    value: str, beside: tuple[tuple[str, str], ...]
) -> None:
    # Identity-Aware Proxy, Cloudflare Access, Azure's front ends: github.com/oauth2-proxy/oauth2-proxy/issues/2168.
    found = find_credential(head(("x-GOOG-iap-jwt-assertion", value), *beside), "", (HEADER, COOKIE))
    assert found is not None and (found.token, found.source) == (TOKEN, HEADER)


@pytest.mark.parametrize(
    "value", ["Bearer", f"Basic {TOKEN}", f"{TOKEN} x", f"Bearer {TOKEN} x", f"a\t{TOKEN}", "\u00e9"]
)
def test_whatever_else_stands_in_a_tokens_header_is_malformed(value: str) -> None:
    with pytest.raises(Denied) as refusal:
        find_credential(asserted(value), "", (HEADER,))
    assert refusal.value.reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [(HEADER.name, "")],
        [("X_Goog_IAP_JWT_Assertion", TOKEN)],
        [("X.Goog.IAP.JWT.Assertion", TOKEN)],
        [(HEADER.name, TOKEN), ("Connection", "close, X-Goog-IAP-JWT-Assertion")],  # it ends here
        [(HEADER.name, TOKEN), ("Connection", "x_goog_iap_jwt_assertion")],
    ],
)
def test_no_token_is_in_another_spelling_or_in_what_connection_names(lines: list[tuple[str, str]]) -> None:
    assert find_credential(head(*lines), "", (HEADER,)) is None


def test_websocket_protocol_that_looks_like_a_token_is_one() -> None:
    upgrade = (("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", f"chat, {TOKEN}"))
    found = find_credential(head(*upgrade), "", (PROTOCOL,))
    assert found is not None
    assert (found.token, found.source) == (TOKEN, PROTOCOL)
    assert find_credential(head(upgrade[1]), "", (PROTOCOL,)) is None, "only for a WebSocket"
    assert find_credential(head(upgrade[0], ("Sec-WebSocket-Protocol", "v1.chat.x")), "", (PROTOCOL,)) is None


def test_token_over_16_kib_is_refused_before_parsing() -> None:
    # CVE-2025-30204: a token of dots; CVE-2025-53864: a deep one.
    assert find_credential(authorization("Bearer " + "a" * MAX_TOKEN_BYTES), "", (BEARER,)) is not None
    with pytest.raises(Denied) as refusal:
        find_credential(authorization("Bearer " + "." * (MAX_TOKEN_BYTES + 1)), "", (BEARER,))
    assert refusal.value.reason is Reason.TOKEN_TOO_LARGE


@pytest.mark.parametrize("token", ["a\x00b", "caf\u00e9", "a\udcffb", "a%b", "<script>"])
def test_token_with_foreign_characters_is_refused(token: str) -> None:
    with pytest.raises(Denied) as refusal:
        find_credential(authorization(f"Bearer {token}"), "", (BEARER,))
    assert refusal.value.reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("method", "lines", "allowed"),
    [
        pytest.param("GET", (), True, id="safe-method"),
        pytest.param("HEAD", (("Origin", "https://evil.test"),), True, id="safe-method-of-any-page"),
        pytest.param("POST", (), False, id="post-without-origin"),
        pytest.param("POST", (("Origin", "https://evil.test"),), False, id="post-of-another-page"),
        pytest.param("POST", (("Origin", "https://gw.test"),), True, id="post-of-the-own-page"),
        pytest.param("POST", (("Origin", "http://gw.test"),), False, id="own-host-other-scheme"),
        pytest.param("POST", (("Origin", "null"),), False, id="null-origin"),
        pytest.param("DELETE", (("Origin", "https://app.example.com"),), True, id="listed-page"),
        pytest.param("DELETE", (("Origin", "https://app.example.com"),) * 2, False, id="two-origins"),
        pytest.param("GET", (("Upgrade", "websocket"),), False, id="websocket-without-origin"),
        pytest.param("GET", (("Upgrade", "WebSocket"), ("Origin", "https://evil.test")), False, id="websocket-of-evil"),
        pytest.param(
            "GET", (("Upgrade", "websocket"), ("Origin", "https://gw.test")), True, id="websocket-of-own-page"
        ),
    ],
)
def test_cookie_counts_only_for_pages_of_known_origins(
    method: str, lines: tuple[tuple[str, str], ...], allowed: bool
) -> None:
    # Cross-site request forgery, and cross-site WebSocket hijacking.
    request_head = head(*lines, method=method)
    if allowed:
        check_origin(request_head, Origins({"https://app.example.com"}))
        return
    with pytest.raises(Denied) as refusal:
        check_origin(request_head, Origins({"https://app.example.com"}))
    assert refusal.value.reason is Reason.ORIGIN_REFUSED


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("?apiKey=x", ""),
        ("?a=1&apiKey=x&b=%2F", "?a=1&b=%2F"),
        ("?api%4Bey=x&a", "?a"),
        ("?a=1&&b", "?a=1&&b"),
        ("?", "?"),
    ],
)
def test_query_token_is_taken_out_and_the_rest_stays(query: str, left: str) -> None:
    assert without_parameter(query, "apiKey") == left


def test_no_repr_shows_a_token() -> None:
    found = find_credential(authorization(f"Bearer {TOKEN}"), "", (BEARER,))
    assert TOKEN not in repr(found) + repr(authorization(f"Bearer {TOKEN}"))


def test_only_the_first_equals_sign_parts_a_name_from_its_value() -> None:
    cookie = find_credential(head(("Cookie", f"a=1; __session={TOKEN}==")), "", (COOKIE,))
    assert cookie is not None and cookie.token == f"{TOKEN}=="
    query = find_credential(head(), f"?a=1&apiKey={TOKEN}==", (QUERY,))
    assert query is not None and query.token == f"{TOKEN}=="
    assert without_parameter("?apiKey=a=b&c=d", "apiKey") == "?c=d"


def test_quotes_of_a_cookie_are_no_part_of_its_token() -> None:
    found = find_credential(head(("Cookie", '__session="XaX"')), "", (COOKIE,))
    assert found is not None and found.token == "XaX"


@pytest.mark.parametrize(("length", "is_token"), [(32, False), (33, True)])
def test_sub_protocol_is_a_token_from_33_characters_on(length: int, is_token: bool) -> None:
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    offered = "x.y." + "z" * (length - 4)
    found = find_credential(head(*upgrade, ("Sec-WebSocket-Protocol", f"chat,{offered},v2")), "", (PROTOCOL,))
    assert (found is not None) is is_token
    assert found is None or found.token == offered


def test_names_and_tokens_lose_white_space_and_nothing_else() -> None:
    assert find_credential(head(("Cookie", f"X__session={TOKEN}; __sessionX={TOKEN}")), "", (COOKIE,)) is None
    bare = find_credential(authorization("\t X.token.X "), "", (BARE,))
    assert bare is not None and bare.token == "X.token.X"
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    offered = "X.y." + "z" * 40 + "X"
    found = find_credential(head(*upgrade, ("Sec-WebSocket-Protocol", f"\t{offered} ,chat")), "", (PROTOCOL,))
    assert found is not None and found.token == offered


def test_value_of_the_query_is_decoded_as_far_as_tokens_need_it() -> None:
    found = find_credential(head(), f"?apiKey={TOKEN.replace('.', '%2E')}", (QUERY,))
    assert found is not None and found.token == TOKEN
    with pytest.raises(Denied) as refusal:
        find_credential(head(), "?apiKey=" + "%41" * 100, (QUERY,))
    assert refusal.value.reason is Reason.TOKEN_MALFORMED


def test_what_is_not_there_is_nothing() -> None:
    assert find_credential(head(), "", (BARE, BEARER)) is None
    nameless = RequestHead("POST", "/api", Headers([("Origin", "https://xxxx")]), "192.0.2.1", "https")
    with pytest.raises(Denied):
        check_origin(nameless, Origins())


def test_a_no_break_space_is_no_white_space_of_http() -> None:
    # RFC 9110 section 5.6.3: space and tab. A server that strips more would see another name than we do.
    assert find_credential(head(("Cookie", f"\u00a0__session={TOKEN}")), "", (COOKIE,)) is None
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    for source, lines in (
        (BARE, (("Authorization", f"{TOKEN}\u00a0"),)),
        (PROTOCOL, (*upgrade, ("Sec-WebSocket-Protocol", f"\u00a0{TOKEN}"))),
    ):
        try:
            assert find_credential(head(*lines), "", (source,)) is None
        except Denied as refusal:
            assert refusal.reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("sources", [(BEARER,), (BEARER, TokenSource("cookie", "token"))])
def test_token_of_just_16_kib_counts(sources: tuple[TokenSource, ...]) -> None:
    found = find_credential(authorization("Bearer " + "x" * MAX_TOKEN_BYTES), "", sources)
    assert found is not None and len(found.token) == MAX_TOKEN_BYTES
