"""The deployment, as a notebook, a script or a test asks it: what it holds, and how it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from daglab import errors, events, parse
from daglab.deployment import dagster_api, entities, filters, partitions, runs, selection
from daglab.helpers import display
from daglab.settings import config

Target = entities.Job | entities.Asset | Sequence[entities.Asset]
EXECUTE = "execute"  # what a mutation of the user's own is called


@dataclass(frozen=True)
class Client(display.Shown):
    """A deployment that has answered, the config it was found with, and what its AssetNode can tell."""

    api: dagster_api.DagsterApi = field(repr=False)
    settings: config.Config = field(repr=False)
    version: str
    asset_fields: frozenset[str] = field(default=frozenset(), repr=False)

    def execute(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The data of Dagster's answer to a GraphQL query or mutation of your own.

        A mutation is sent once, and never in the sandbox. Raises `DaglabError` where there is no answer, or an error.
        """
        if dagster_api.is_mutation(query):
            if self.api.session.allowed is not None:
                raise errors.NotAuthorised(
                    "The sandbox lets no mutation of your own through.", "Use run_assets, run_job or retry."
                )
            with recorded(self, "helpers.execute", None) as (_, api):
                return dagster_api.mutate(api, EXECUTE, query, variables)
        return dagster_api.query(self.api, query, variables)

    def html(self) -> str:
        """Where it is, in a line."""
        return f"<p>{display.mark('good')}Dagster {escape(self.version)} at {display.cell(self._page)}</p>"

    def __str__(self) -> str:
        return f"Dagster {self.version} at {self._page}"

    @property
    def _page(self) -> display.Link:
        return display.Link(self.api.url, parse.display_url(self.api.url))


@dataclass(frozen=True)
class Health(display.Shown):
    """How a deployment is: its version, its code locations, and whether what is queued is ever started."""

    page: display.Link
    version: str
    locations: tuple[entities.Location, ...]
    starts_runs: bool

    @property
    def is_good(self) -> bool:
        """Whether every code location was loaded, and runs are started."""
        return not self._problems

    def html(self) -> str:
        """A line, and one for each thing that is not well."""
        problems = "".join(f"<li>{escape(problem)}</li>" for problem in self._problems)
        mark = display.mark("good" if self.is_good else "bad")
        line = f"<p>{mark}Dagster {escape(self.version)} at {display.cell(self.page)}: {escape(self._counted)}</p>"
        return line + (f"<ul>{problems}</ul>" if problems else "")

    def __str__(self) -> str:
        return "\n  ".join([f"Dagster {self.version} at {self.page}: {self._counted}", *self._problems])

    @property
    def _counted(self) -> str:
        loaded = sum(not location.error for location in self.locations)
        return f"{loaded} of {len(self.locations)} code locations loaded"

    @property
    def _problems(self) -> list[str]:
        broken = [f"{location.name}: {location.error}" for location in self.locations if location.error]
        queue = [] if self.starts_runs else ["Runs are queued, and no daemon starts them: `dagster-daemon run`."]
        return [*broken, *queue]


class Assets(display.Listing[entities.Asset]):
    """Assets, shown as a table."""

    def _table(self) -> tuple[Sequence[str], list[Sequence[Any]]]:
        rows: list[Sequence[Any]] = [
            (asset.name, asset.group, ", ".join(asset.kinds), _partitions(asset), asset.location) for asset in self
        ]
        return ("asset", "group", "kinds", "partitions", "code location"), rows


class Jobs(display.Listing[entities.Job]):
    """Jobs, shown as a table."""

    def _table(self) -> tuple[Sequence[str], list[Sequence[Any]]]:
        rows: list[Sequence[Any]] = [(job.name, _kind(job), job.description, job.location) for job in self]
        return ("job", "kind", "description", "code location"), rows


@dataclass(frozen=True)
class Places:
    """What there is to choose from: names, each once; and the code location and repository that the config names."""

    locations: tuple[str, ...]
    repositories: tuple[str, ...]
    jobs: tuple[str, ...]
    location: str | None
    repository: str | None


@dataclass(frozen=True)
class Found(display.Shown):
    """What a deployment holds."""

    locations: tuple[entities.Location, ...]
    jobs: Jobs
    assets: Assets

    def html(self) -> str:
        """Three tables."""
        rows = [(location.name, ", ".join(location.repositories), location.error) for location in self.locations]
        tables = (
            ("Code locations", display.table(("code location", "repositories", "error"), rows)),
            ("Jobs", self.jobs.html()),
            ("Assets", self.assets.html()),
        )
        return "".join(f"<h3>{title}</h3>{body}" for title, body in tables)

    def __str__(self) -> str:
        names = ", ".join(location.name for location in self.locations)
        return f"Code locations: {names}\n\n{self.jobs}\n\n{self.assets}"


def connect(url: str | None = None, auth: str | None = None, *, directory: Path | str | None = None) -> Client:
    """The deployment of the project around `directory` (default: the current one), or the one at `url`.

    `auth` says where the token is, as `env:NAME` or `file:PATH`; without it the config does. A token itself is refused:
    it would stand in every export of the notebook. Raises `DaglabError` when nothing answers, or not to us.
    """
    if url is not None and not url.strip():
        raise errors.InvalidInput("The address is empty.", "Leave it out to take the config's.")
    folder = None if directory is None else Path(directory)
    settings = config.load({"dagster.url": url, **_auth(auth)}, directory=folder)
    with events.recording(settings.root, "helpers.connect") as event:
        event.target = parse.display_url(settings.url)
        api = dagster_api.connect(settings, operation=event.id)  # what the client only asks later on carries this id
        event.traffic = api.traffic
        workspace = entities.workspace(api)
    return Client(api, settings, workspace.version, workspace.asset_fields)


def health(client: Client) -> Health:
    """How the deployment is now, in two requests at most. Raises `DaglabError` when it does not answer any more."""
    workspace = entities.workspace(client.api)
    page = display.Link(client.api.url, parse.display_url(client.api.url))
    return Health(page, workspace.version, workspace.locations, not runs.waits_in_vain(client.api))


def places(client: Client) -> Places:
    """The code locations, repositories and jobs there are, by name, in one request."""
    found, named = entities.workspace(client.api), client.settings.dagster
    locations = tuple(location.name for location in found.locations)
    repositories = tuple(sorted({name for location in found.locations for name in location.repositories}))
    return Places(
        locations,
        repositories,
        tuple(sorted({job.name for job in entities.visible(found.jobs)})),
        named.repository_location_name if named.repository_location_name in locations else None,
        named.repository_name if named.repository_name in repositories else None,
    )


def discover(client: Client) -> Found:
    """All that the deployment holds: code locations, jobs, assets."""
    workspace = entities.workspace(client.api)
    assets = Assets(entities.assets(client.api, client.asset_fields))
    return Found(workspace.locations, Jobs(entities.visible(workspace.jobs)), assets)


def discover_jobs(
    client: Client, pattern: str | None = None, *, repository: str | None = None, location: str | None = None
) -> Jobs:
    """The jobs whose name matches a shell pattern (`daily_*`), of a repository and code location where one is named.

    Raises `DaglabError` for a repository or code location that is not there.
    """
    workspace = entities.workspace(client.api)
    asked = filters.Filters(pattern=pattern, repository=repository, location=location)
    filters.check_place(workspace, asked)
    return Jobs(filters.jobs(entities.visible(workspace.jobs), asked))


def discover_assets(
    client: Client, chosen: str | None = None, *, repository: str | None = None, location: str | None = None
) -> Assets:
    """The assets of a selection in Dagster's language (`group:mart and not kind:s3`, `+orders`), or all of them.

    Raises `DaglabError` that points at what is wrong in a selection, and for a place that is not there.
    """
    workspace = entities.workspace(client.api)
    asked = filters.Filters(
        chosen=selection.read(chosen) if chosen is not None else None, repository=repository, location=location
    )
    filters.check_place(workspace, asked)
    if asked.chosen:
        selection.check_fields(asked.chosen, workspace)
    return Assets(filters.assets(entities.assets(client.api, client.asset_fields), asked))


def choose_assets(client: Client, chosen: str, *, repository: str | None = None, location: str | None = None) -> Assets:
    """The assets of a selection, at least one. Raises `DaglabError` with the nearest names where it holds none."""
    found = discover_assets(client, chosen, **_place(client, repository, location))
    if not found:
        names = [asset.name for asset in entities.assets(client.api)]
        near = parse.did_you_mean(chosen.removeprefix("key:").strip('"'), names)
        raise errors.InvalidInput(
            f"The selection {chosen} holds no asset.", near or "`daglab discover --select` tries a selection."
        )
    return found


def find_asset(client: Client, key: str | Sequence[str]) -> entities.Asset:
    """The asset with the key `a/b` or `["a", "b"]`. Raises `DaglabError` with the nearest names."""
    return find_assets(client, [key])[0]


def find_assets(
    client: Client,
    keys: Iterable[str | Sequence[str]],
    *,
    repository: str | None = None,
    location: str | None = None,
) -> Assets:
    """The assets with these keys, in their order; where several places have one, the named one, else the config's.

    Raises `DaglabError` with the nearest names, and with the places where it is not known which one is meant.
    """
    parts = [parse.asset_key(key) if isinstance(key, str) else tuple(key) for key in keys]
    where = _place(client, repository, location)
    return Assets(entities.find_assets(client.api, parts, fields=client.asset_fields, **where))


def find_job(client: Client, name: str, *, repository: str | None = None, location: str | None = None) -> entities.Job:
    """The job of this name; where several places have one, as `find_assets`. Raises `DaglabError` as that does."""
    return entities.find_job(client.api, name, **_place(client, repository, location))


def assets_of(client: Client, target: Target) -> Assets:
    """The assets that a job makes; assets themselves as they are."""
    if not isinstance(target, entities.Job):
        return several(target)
    place = (target.location, target.repository)
    every = entities.assets(client.api, client.asset_fields)
    return Assets(each for each in every if target.name in each.jobs and (each.location, each.repository) == place)


def several(assets: entities.Asset | Sequence[entities.Asset]) -> Assets:
    """One asset as several."""
    return Assets([assets] if isinstance(assets, entities.Asset) else assets)


def partition_keys(client: Client, target: Target) -> list[str]:
    """The partition keys of a job or of assets, in Dagster's order; none for what has no partitions.

    Raises `DaglabError` for assets that are partitioned in several ways, and for partitions of which there is none yet.
    """
    if isinstance(target, entities.Job):
        return partitions.keys(client.api, target)
    partitioned = {asset.partitioning: asset for asset in several(target) if asset.partitions}
    if len(partitioned) > 1:
        names = " and ".join(asset.name for asset in list(partitioned.values())[:2])
        raise errors.InvalidInput(f"Not partitioned alike: {names}.", "Choose those that are: they can share a run.")
    for asset in partitioned.values():
        if not (found := partitions.keys(client.api, asset)):
            raise errors.InvalidInput(f"{asset.name} has no partition yet.", "Add one on its page in Dagster.")
        return found
    return []


def name_of(target: Target) -> str:
    """A target by name: `job:report`, or its assets as `orders,src/items`."""
    if isinstance(target, entities.Job):
        return f"job:{target.name}"
    return ",".join(asset.name for asset in several(target))


@contextlib.contextmanager
def recorded(client: Client, command: str, target: str | None) -> Iterator[tuple[events.Event, dagster_api.DagsterApi]]:
    """An event for what is done inside, and a session whose requests carry its id."""
    with events.recording(client.settings.root, command) as event:
        event.target = target
        api = dagster_api.connect(client.settings, operation=event.id)
        event.traffic = api.traffic
        yield event, api


def show(thing: Any) -> Any:
    """A thing as marimo shows it: an error as a callout with its hint, an asset or a job with what is known of it.

    Needs marimo.
    """
    import marimo

    if isinstance(thing, Assets) and len(thing) == 1:
        [thing] = thing
    if isinstance(thing, errors.DaglabError):
        return display.callout(thing)
    if isinstance(thing, entities.Asset):
        return marimo.Html(display.framed(asset_card(thing)))
    if isinstance(thing, entities.Job):
        return marimo.Html(display.framed(job_card(thing)))
    return marimo.as_html(thing)


def asset_card(asset: entities.Asset) -> str:
    """What there is to know about an asset."""
    facts = {
        "group": asset.group,
        "kinds": ", ".join(asset.kinds),
        "owners": ", ".join(asset.owners),
        "partitions": _partitions(asset),
        "depends on": ", ".join(asset.dependencies),
        "code location": asset.location,
    }
    return display.card(asset.name, asset.description, facts)


def job_card(job: entities.Job) -> str:
    """What there is to know about a job."""
    facts = {
        "kind": _kind(job),
        "partitioned": "yes" if job.partition_set else "",
        "tags": ", ".join(f"{key}={value}" for key, value in job.tags.items()),
        "code location": job.location,
    }
    return display.card(job.name, job.description, facts)


def _place(client: Client, repository: str | None, location: str | None) -> dict[str, str | None]:
    named = client.settings.dagster
    return {"repository": repository or named.repository_name, "location": location or named.repository_location_name}


def _auth(where: str | None) -> dict[str, str]:
    if where is None:
        return {}
    kind, _, name = where.partition(":")
    if kind not in ("env", "file") or not name:
        raise errors.InvalidInput(
            "`auth` says where the token is, and is not the token itself.", "Write env:NAME or file:PATH."
        )
    return {f"dagster.auth.token_{kind}": name}


def _partitions(asset: entities.Asset) -> str:
    return (asset.partitions or "").lower().replace("_", " ")


def _kind(job: entities.Job) -> str:
    return "asset job" if job.is_asset_job else "op job"
