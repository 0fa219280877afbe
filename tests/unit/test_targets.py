"""Into which runs a choice of assets is divided, and in which order they have to be made."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from daglab import errors
from daglab.deployment import entities
from daglab.launching import targets

BLANK = entities.Asset(
    key=("x",),
    group=None,
    description=None,
    kinds=(),
    tags={},
    owners=(),
    executable=True,
    partitions=None,
    dimensions=(),
    jobs=("__ASSET_JOB",),
    dependencies=(),
    repository="__repository__",
    location="main",
)


def asset(name: str, *above: str, **more: Any) -> entities.Asset:
    return dataclasses.replace(BLANK, key=(name,), dependencies=above, **more)


def divided(*assets: entities.Asset) -> list[tuple[str, str, list[int]]]:
    return [
        (share.target.location, "".join(each.name for each in share.assets), sorted(share.after))
        for share in targets.divide(assets)
    ]


def test_what_one_run_can_hold_is_one_run() -> None:
    assert divided(asset("a"), asset("b", "a", "elsewhere"), asset("c")) == [("main", "abc", [])]


def test_each_location_has_a_run_and_waits_for_what_it_needs() -> None:
    found = divided(asset("b", "a", location="second"), asset("a"), asset("c", "c", location="second"))
    assert found == [("main", "a", []), ("second", "bc", [0])]


def test_a_location_that_is_needed_and_needs_has_two_runs() -> None:
    assets = [asset("a"), asset("b", "a", location="second"), asset("c", "b"), asset("d"), asset("e", "d")]
    assert divided(*assets) == [("main", "ade", []), ("second", "b", [0]), ("main", "c", [1])]


def test_what_can_wait_shares_a_later_run() -> None:
    """Of `second` all can be made once `a` is there: that is one run, not two."""
    assets = [asset("b", "a", location="second"), asset("c", location="second"), asset("a")]
    assert divided(*assets) == [("main", "a", []), ("second", "bc", [0])]


def test_locations_that_need_each_other_end() -> None:
    assert divided(asset("a", "b"), asset("b", "a", location="second")) == [("main", "a", []), ("second", "b", [0])]


def test_ways_to_partition_are_kept_apart() -> None:
    days = {"partitions": "TIME_WINDOW", "partitioning": "daily"}
    others = {"partitions": "STATIC", "partitioning": "eu, us"}
    assert divided(asset("a", **days), asset("b", **others)) == [("main", "a", []), ("main", "b", [])]
    assert divided(asset("a", **days), asset("p")) == [("main", "ap", [])]
    assert divided(asset("a", **days), asset("p"), asset("b", **others)) == [
        ("main", "a", []),
        ("main", "p", []),
        ("main", "b", []),
    ]


def test_the_job_that_dagster_keeps_is_that_of_the_share() -> None:
    """Before 1.8 there is one for each way to partition."""
    first = asset("a", partitions="STATIC", partitioning="1", jobs=("__ASSET_JOB_0",))
    second = asset("b", partitions="STATIC", partitioning="2", jobs=("__ASSET_JOB_1",))
    assert [share.target.job for share in targets.divide([first, second])] == ["__ASSET_JOB_0", "__ASSET_JOB_1"]


def test_an_external_asset_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="b can't be materialized"):
        targets.divide([asset("a"), asset("b", executable=False, jobs=())])


@pytest.mark.parametrize("seed", range(50))
def test_each_asset_is_made_once_and_after_what_it_needs(seed: int) -> None:
    dice = random.Random(seed)
    assets: list[entities.Asset] = []
    for number in range(dice.randrange(1, 40)):
        above = [each.name for each in assets if dice.random() < 0.1]
        way = dice.choice((None, "1", "2"))
        location = dice.choice(("main", "second", "third"))
        assets.append(asset(f"a{number}", *above, location=location, partitions=way, partitioning=way))
    dice.shuffle(assets)
    shares = targets.divide(assets)
    place = {each.name: number for number, share in enumerate(shares) for each in share.assets}
    assert sorted(place) == sorted(each.name for each in assets)
    assert sum(len(share.assets) for share in shares) == len(assets)
    for each in assets:
        for other in each.dependencies:
            assert place[other] == place[each.name] or place[other] in shares[place[each.name]].after
    for number, share in enumerate(shares):
        assert all(needed < number for needed in share.after)
        assert len({(each.location, each.repository) for each in share.assets}) == 1
        assert len({each.partitioning for each in share.assets} - {None}) <= 1
