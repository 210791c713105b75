"""The page: a card an alert with all that is known of it, nothing loaded, nothing of others taken for markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from boom_streams.page import Night, render
from tests.support.html_tree import Node, parse
from tests.support.page_alerts import alert, passed, point

NIGHT = Night(
    "20211121",
    {"alerts in": 110, "passed a filter": 2, "dead letters": 1},
    12.345,
    {"fast": "Changes fast", "slow": "Changes slowly"},
    datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
)
MATCHES = {
    "ZTF21aaaaaab": {
        "NED": [
            {
                **{"_id": "NGC 1", "ra": 1.0, "dec": 2.0, "objtype": "G", "z": 0.0151, "z_unc": 0.0002, "extra": None},
                **{"distance_arcsec": 5.432, "distance_kpc": 1.64},
            },
            {"_id": "NGC 2", "z": 0.004, "distance_arcsec": 7.0, "distance_kpc": -1.0},
            *({"_id": f"far {n}", "distance_arcsec": 9.0 + n} for n in range(4)),
        ],
        "Gaia_DR3": [],
        "milliquas_v8": "not imported",
    }
}
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>"\' onload="1'


def page(*alerts: dict[str, Any], **options: Any) -> Node:
    return parse(render(NIGHT, alerts, **options))


def cards(tree: Node) -> list[Node]:
    return tree.all("article", "card")


def rows(table: Node) -> list[list[str]]:
    return [[cell.text for cell in row.walk() if cell.tag in ("td", "th")] for row in table.one("tbody").all("tr")]


def test_a_card_has_what_a_person_asks_for() -> None:
    (card,) = cards(page(alert(), matches=MATCHES))
    assert card.one("h2").text == "ZTF21aaaaaab"
    for expected in (
        *("10:00:29.63 -20:30:00.0", "150.123456 -20.500000", "g 18.90 ± 0.05"),
        *("2021-11-22 06:00:00 UTC", "MJD 59540.25000", "2 detections in 3 d", "ZTF 1"),
        *("Passed 1 filter", "fast", "age 3.25"),
    ):
        assert expected in card.text
    assert [image["alt"].split()[0] for image in card.all("img")] == ["Science", "Template", "Difference"]
    assert all((image["width"], image["height"]) == ("63", "63") for image in card.all("img"))
    assert len(card.one("g", "marks").all("use")) == 2


def test_the_header_says_what_night_it_was() -> None:
    tree = page(alert(1), alert(2, filters=[passed("slow"), passed("fast")], jd=alert()["jd"] + 0.125))
    assert tree.one("h1").text == "20211121"
    header = tree.all("header")[0].text
    for expected in (
        *(
            "2 alerts of 2 objects passed, observed 2021-11-22 06:00 to 09:00 UTC",
            "110 alerts in",
            "1 dead letters",
            "12.3 s",
        ),
    ):
        assert expected in header
    assert rows(tree.one("table", "filters")) == [["fast", "2", "Changes fast"], ["slow", "1", "Changes slowly"]]
    assert re.fullmatch(r"Made 2026-01-02 03:04 UTC by boom_streams \d\S+\. This file .*", tree.one("footer").text)


def test_matches_are_shown_by_catalogue() -> None:
    (card,) = cards(page(alert(), matches=MATCHES))
    assert rows(card.one("section", "matches").one("table")) == [
        ["NED", "5.43", "1.6", "NGC 1 objtype G z 0.0151 ± 0.0002"],
        ["NED", "7.00", "too near to tell", "NGC 2 z 0.004"],
        ["NED", "9.00", "–", "far 0"],
        ["NED", "and 3 more"],
    ]
    assert "Gaia_DR3: no source within its radius" in card.one("section", "matches").text


def test_what_is_true_of_every_object_is_said_once() -> None:
    away = {"PS1": "not imported", "LS": "not imported", "milliquas": "not imported"}
    matches = {
        "one": {**away, "NED": [], "Gaia": [], "GCVS": "MongoDB is away"},
        "two": {**away, "NED": [], "Gaia": [{"_id": 7, "distance_arcsec": 1.0}], "GCVS": []},
    }
    tree = page(alert(1, objectId="one"), alert(2, objectId="two"), matches=matches)
    assert tree.text.count("not imported") == 1
    assert "No match is from LS, PS1, milliquas: not imported" in tree.all("header")[0].text
    first, second = (card.one("section", "matches") for card in cards(tree))
    assert first.all("table") == []
    assert [note.text for note in first.all("p")] == [
        "GCVS: MongoDB is away",
        "Gaia, NED: no source within its radius",
    ]
    assert rows(second.one("table")) == [["Gaia", "1.00", "–", "7"]]


def test_an_object_has_one_card_with_all_its_alerts() -> None:
    jd = alert()["jd"]
    mine = [
        alert(5, objectId="one", jd=jd - 1, magnitude=20.0, filters=[passed("fast", '{"n": 1}')]),
        alert(7, objectId="one", jd=jd, band="r", magnitude=18.0, filters=[passed("slow", '{"n": 3}')]),
        alert(6, objectId="two"),
        alert(4, objectId="one", jd=jd - 2, magnitude=21.0, filters=[passed("fast", '{"n": 2}'), passed("slow")]),
        alert(9, objectId="one", survey="LSST"),
    ]
    tree = page(*mine)
    first, second, third = cards(tree)
    assert [card["id"] for card in (first, second, third)] == ["alert-7", "alert-6", "alert-9"]
    assert "r 18.00" in first.one("p", "magnitude").text, "the newest alert"
    assert [row[1:] for row in rows(first.one("section", "alerts").one("table"))] == [
        ["r 18.00 ± 0.05", "slow", "7"],
        ["g 20.00 ± 0.05", "fast", "5"],
        ["g 21.00 ± 0.05", "fast, slow", "4"],
    ]
    slow, fast = first.one("section", "passed").all("div", "filter")
    assert slow.text == "slow 2 of 3 alerts; the newest: n 3"
    assert fast.text == "fast 2 of 3 alerts; the newest: n 1"
    assert second.all("section", "alerts") == [], "its only alert is the card"
    assert "5 alerts of 3 objects passed" in tree.all("header")[0].text


@pytest.mark.parametrize(
    ("matches", "text"),
    [(None, "The archive was not asked for catalogue matches."), ({}, "No catalogue has been searched.")],
)
def test_without_matches_and_scores_the_page_says_so_once(matches: Any, text: str) -> None:
    tree = page(alert(1), alert(2), matches=matches)
    assert text in tree.all("header")[0].text
    assert "No model has scored these alerts." in tree.all("header")[0].text
    assert not [section for card in cards(tree) for section in card.all("section") if "passed" not in section.classes]


def test_of_one_alert_without_matches_and_scores_its_card_says_so() -> None:
    scored = {"classifications": [{"classifier": "braai", "score": 0.5}]}
    first, second = cards(page(alert(1, **scored), alert(2), matches=MATCHES))
    assert "NGC 1" in first.text
    assert "No catalogue has been searched." in second.text
    assert "No model has scored this alert." in second.text


def test_scores_have_bars_versions_and_meanings() -> None:
    known = [{"classifier": "braai", "score": 0.25}, {"classifier": "mine", "score": 0.5, "version": "v7"}]
    (card,) = cards(page(alert(classifications=known), scores={1: {"acai_h": 1.0, "braai": 0.9}}))
    section = card.one("section", "models")
    assert [row[:2] for row in rows(section.one("table"))] == [
        ["acai_h", "1.000"],
        ["braai", "0.250"],
        ["mine", "0.500"],
    ]
    assert [bar["width"] for bar in section.all("rect") if "back" not in bar.classes] == ["100.0", "25.0", "50.0"]
    assert "braai d6_m9" in section.text
    assert "mine v7" in section.text
    assert "real, not an artefact" in section.text


def test_limits_are_triangles_and_forced_points_hollow() -> None:
    photometry = [point(-2, "r", "limit", None, 1e3), point(-1, "i", "forced"), point(0, "g"), point(0, "w", "forced")]
    tree = page(alert(photometry=photometry))
    used = [use["href"] for use in cards(tree)[0].one("g", "marks").all("use")]
    assert sorted(used) == ["#alert-g", "#forced-i", "#forced-other", "#limit-r"]
    shapes = {node["id"]: node for node in tree.one("svg", "shapes").walk() if "id" in node.attributes}
    assert shapes.keys() >= {address.removeprefix("#") for address in used}
    assert shapes["limit-r"]["d"].startswith("M-4 -3H4L0 4Z"), "a triangle that points down"
    drawings = [shapes[f"alert-{band}"].attributes.get("d", "circle") for band in ("u", "g", "r", "i", "z", "y")]
    assert len(set(drawings)) == 6
    css = re.sub(r"\s+", " ", tree.one("style").text)
    assert ".forced { fill: var(--card); stroke: currentColor" in css


def test_a_long_curve_can_be_opened_whole() -> None:
    photometry = [point(-300, "r", "limit", None, 1e3), point(-250, "g", "forced"), point(0)]
    (card,) = cards(page(alert(photometry=photometry)))
    assert [len(drawing.all("use")) for drawing in card.all("g", "marks")] == [1, 3]
    assert "Not in the frame: 2 points before" in card.one("figure", "light").text


def test_directions_and_scale_are_marked_where_they_are_known() -> None:
    (ztf,) = cards(page(alert()))
    (other,) = cards(page(alert(survey="ELSEWHERE")))
    marks = [" ".join(text.text for text in each.all("text")) for each in ztf.all("svg", "compass")]
    assert marks == ["N E 20″"] * 3
    assert other.all("svg", "compass") == []


def test_a_negative_difference_is_said() -> None:
    (ztf,) = cards(page(alert(photometry=[point(0, flux=-1e5)])))
    (other,) = cards(page(alert(photometry=[point(0, flux=-1e5)], survey="LSST")))
    assert all("negative difference" in card.text for card in (ztf, other))
    assert "template − science" in ztf.text, "what ZTF publishes for a negative detection"
    assert "template − science" not in other.text


def test_annotations_are_shown_in_words() -> None:
    annotations = {
        "rate": -0.123456789,
        "fits": [{"band": "g", "n": 3}],
        "flag": True,
        "none": None,
        "big": {"$numberLong": "7"},
        "long": "x" * 400,
    }
    (card,) = cards(page(alert(filters=[passed("a", json.dumps(annotations)), passed("b", "broken{")])))
    shown = {
        item.one("dt").text: item.one("dd").text
        for item in card.one("section", "passed").all("div")
        if item.all("dt") and not item.all("dl")
    }
    assert shown == {
        **{
            "rate": "−0.123457",
            "fits": "band g, n 3",
            "flag": "yes",
            "none": "none",
            "big": "7",
            "long": "x" * 300 + " …",
        },
        "annotations": "broken{",
    }


def test_what_others_wrote_is_text() -> None:
    hostile = alert(
        objectId=HOSTILE,
        filters=[passed(HOSTILE, json.dumps({HOSTILE: HOSTILE, "list": [HOSTILE]}))],
        classifications=[{"classifier": HOSTILE, "score": 0.5}],
        photometry=[point(0, HOSTILE)],
        **{"band": HOSTILE, "history": HOSTILE, "survey": HOSTILE, "cutoutScience": None, "cutouts_missing": HOSTILE},
    )
    matches = {HOSTILE: {HOSTILE: [{"_id": HOSTILE, HOSTILE: HOSTILE, "distance_arcsec": 1.0}]}}
    tree = parse(render(Night(HOSTILE, {HOSTILE: 1}, filters={HOSTILE: HOSTILE}), [hostile], matches))
    plain = page(alert())
    assert len(tree.all("script")) == len(plain.all("script")) == 1
    assert tree.one("script").text == plain.one("script").text
    assert len(tree.all("img")) == 2
    assert not [name for node in tree.walk() for name in node.attributes if name.startswith("on")]
    assert tree.text.count("<script>") >= 12


def addresses(tree: Node) -> Iterator[tuple[str, str]]:
    for node in tree.walk():
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            if name in node.attributes:
                yield node.tag, node[name]


def test_nothing_is_loaded() -> None:
    html = render(NIGHT, [alert(), alert(2, cutoutScience=None)], MATCHES)
    tree = parse(html)
    loaded = [address for tag, address in addresses(tree) if tag != "a"]
    assert all(address.startswith(("data:", "#")) for address in loaded)
    assert all(address.startswith("https://") for tag, address in addresses(tree) if tag == "a")
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", tree.one("style").text + tree.one("script").text)
    assert not [node for node in tree.walk() if "style" in node.attributes], "the policy refuses style attributes"
    (policy,) = [node["content"] for node in tree.all("meta") if node.attributes.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


def test_an_alert_without_anything_has_a_card() -> None:
    nothing = alert(
        **{"band": None, "magnitude": None, "magnitude_error": None, "photometry": [], "filters": []},
        **dict.fromkeys(("cutoutScience", "cutoutTemplate", "cutoutDifference")),
        cutouts_missing="the archive has no cutouts of this alert",
    )
    (card,) = cards(page(nothing))
    assert card.all("img") == []
    assert card.text.count("the archive has no cutouts of this alert") == 3
    assert "No photometry came with this alert." in card.text
    assert "no magnitude" in card.text


def test_numbers_that_are_none_are_no_error() -> None:
    nan = float("nan")
    (card,) = cards(page(alert(magnitude=nan, magnitude_error=nan, photometry=[point(0, flux=nan), point(-1)])))
    assert "no magnitude" in card.text
    assert "NaN" not in card["data-order"]


def test_an_empty_night_is_a_page() -> None:
    tree = page()
    assert cards(tree) == []
    assert "No alert passed a filter." in tree.text
    assert rows(tree.one("table", "filters")) == [["fast", "0", "Changes fast"], ["slow", "0", "Changes slowly"]]


def test_of_a_large_night_every_object_is_there() -> None:
    small = {"photometry": [], "cutoutScience": None, "cutoutTemplate": None, "cutoutDifference": None}
    alerts = [alert(n, objectId=f"object {n % 230}", **small) for n in range(240)]
    assert len(cards(page(*alerts))) == 230
    tree = page(*alerts, most=226)
    assert len(cards(tree)) == 226
    assert "The first 226 of 230 objects have a card, the others a line below" in tree.text
    others = rows(tree.one("section", "others").one("table"))
    assert [(row[0], row[4], row[6]) for row in others] == [(f"object {n}", "1", f"ZTF {n}") for n in range(226, 230)]
    assert rows(tree.one("table", "filters"))[0] == ["fast", "240", "Changes fast"]


def test_an_alert_that_came_twice_has_one_card_with_all_its_filters() -> None:
    first, second = alert(filters=[passed("fast")]), alert(filters=[passed("fast"), passed("slow")])
    (card,) = cards(page(first, second))
    assert [heading.text for heading in card.all("h4")] == ["fast", "slow"]
    assert first["filters"] == [passed("fast")], "the record itself stays as it is"


def test_the_script_can_filter_and_sort() -> None:
    tree = page(alert(1), alert(2, filters=[passed("slow")], classifications=[{"classifier": "btsbot", "score": 0.5}]))
    assert [card["data-filters"] for card in cards(tree)] == ["0", "1"]
    numbers = [json.loads(card["data-order"]) for card in cards(tree)]
    assert numbers[1] == {"time": alert()["jd"], "magnitude": 18.9, "age": 3.0, "score:btsbot": 0.5}
    assert [option["value"] for option in tree.all("select")[0].all("option")] == ["", "0", "1"]
    assert "score:btsbot,-1" in {option["value"] for option in tree.all("select")[1].all("option")}


def test_tables_and_pictures_can_be_heard() -> None:
    tree = page(alert(classifications=[{"classifier": "braai", "score": 0.5}]), matches=MATCHES)
    assert all(table.one("caption").text for table in tree.all("table"))
    assert all(cell["scope"] for cell in tree.all("th"))
    assert all(image["alt"] for image in tree.all("img"))
    assert all(
        drawing["aria-label"].startswith("Light curve: 1 detection in g") for drawing in tree.all("svg", "curve")
    )
    ids = [node["id"] for node in tree.walk() if "id" in node.attributes]
    assert len(ids) == len(set(ids))


def colours(css: str, dark: bool) -> dict[str, str]:
    """Custom properties of a theme."""
    light, rest = css.split("prefers-color-scheme: dark", 1)
    return dict(re.findall(r"--(\w+): (#\w{6})", rest if dark else light))


def contrast(one: str, other: str) -> float:
    """Contrast of two colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_can_be_told_from_the_background(root: Path, dark: bool) -> None:
    found = colours((root / "boom_streams/page/templates/page.css").read_text(), dark)
    for band in ("u", "g", "r", "i", "z", "y", "other", "bar"):
        assert contrast(found[band], found["card"]) >= 3, band
    for text in ("text", "soft", "link"):
        assert min(contrast(found[text], found[behind]) for behind in ("card", "page")) >= 4.5, text
