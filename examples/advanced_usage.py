"""Materializes assets from a script: checked before, followed to the end, measured, compared with the run before.

usage: advanced_usage.py ASSET...     (where Dagster is: daglab.yaml, or DAGLAB_DAGSTER__URL)
"""

from __future__ import annotations

import sys

from daglab import helpers


def main(keys: list[str]) -> int:
    """Launch, follow, report; the exit code is that of `daglab run`."""
    client = helpers.connect()
    assets = helpers.find_assets(client, keys)  # a wrong name ends here, with the nearest right ones

    config = helpers.config_template(client, assets)  # what Dagster's schema asks for, as YAML
    checked = helpers.validate_config(client, assets, config)
    if not checked.ok:
        print(checked, file=sys.stderr)
        return 7

    with helpers.track_performance("materialize") as measured:
        run = helpers.run_assets(client, assets, run_config=config, tags={"by": "advanced_usage"})
        print(run.id, run.url)
        for now in helpers.follow(run):
            run = now
            print(" ", run.status)
    print(f"{measured.wall:.1f} s here, {run.seconds or 0:.1f} s in Dagster")

    past = helpers.recent_runs(client, assets, limit=5)
    print(past)
    if not run.succeeded:
        print(helpers.recent_failures(past, limit=1), file=sys.stderr)
        return 4
    for each in assets:
        print(helpers.last_materializations(client, each, limit=1))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except helpers.DaglabError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
