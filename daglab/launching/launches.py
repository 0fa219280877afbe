"""Launches: what a run shall execute, whether its config is valid, and launching it once and only once."""

from __future__ import annotations

import ast
import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from daglab import errors, parse, web
from daglab.deployment import dagster_api, runs
from daglab.launching import targets

log = logging.getLogger(__name__)

Found = TypeVar("Found")

LAUNCH_TAG = "daglab/launch_id"
KEY_TAG = "daglab/launch_key"
REQUEST_TAG = "daglab/launch_request"  # what a key was used for
# Dagster's reasons not to launch; after any other error the run may be there all the same.
NOT_LAUNCHED = (
    "RunConfigValidationInvalid",
    "PipelineNotFoundError",
    "InvalidSubsetError",
    "InvalidStepError",
    "InvalidOutputError",
    "RunConflict",
    "PresetNotFoundError",
    "ConflictingExecutionParamsError",
    "NoModeProvidedError",
)

VALIDATE_QUERY = """
query Validate($pipeline: PipelineSelector!, $config: RunConfigData) {
  isPipelineConfigValid(pipeline: $pipeline, mode: "default", runConfigData: $config) {
    __typename
    ... on PipelineConfigValidationValid { pipelineName }
    ... on RunConfigValidationInvalid {
      errors {
        message reason
        stack {
          entries {
            __typename
            ... on EvaluationStackPathEntry { fieldName }
            ... on EvaluationStackListItemEntry { listIndex }
          }
        }
      }
    }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

LAUNCH_MUTATION = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId status } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}
"""

BY_TAG_QUERY = """
query RunByTag($tags: [ExecutionTag!]) {
  runsOrError(filter: { tags: $tags }, limit: 100) {
    __typename
    ... on Runs { results { runId status } }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""


PARTITION = "PARTITION"  # the reason of a problem that is not Dagster's, as the others are
# Compiled where they are needed: most launches are valid.
# Up to 1.8: "Sample config for missing entry: {...}".
_EXAMPLE = r"\s*(?:Example|Sample) config for (?:the )?missing entr(?:y|ies): "
_EXPECTED = r'(?s)\s*Expected:? "(.*?)\.?"\.?\s*\Z'
_CHOICES = r'expected type "([^"]*)"|enum type (\w+)|(?:Defined fields:|available fields are) (\[.*\])'
_LONGEST_EXAMPLE = 20_000  # characters


@dataclass(frozen=True)
class Problem:
    """What is wrong with a launch, at the place `path` of its run config.

    `reason` is Dagster's word for it (MISSING_REQUIRED_FIELD), or PARTITION; `expected` is a type as Dagster writes
    it; `example` is run config, from its root on, with what is missing.
    """

    path: tuple[str | int, ...]
    reason: str
    message: str
    expected: str | None = None
    example: Any = None

    @property
    def document(self) -> dict[str, Any]:
        """The problem in JSON; what there is not is left out."""
        more = {"expected": self.expected, "example": self.example}
        found = {key: value for key, value in more.items() if value is not None}
        return {"path": list(self.path), "reason": self.reason, "message": self.message, **found}

    @property
    def line(self) -> str:
        """The problem as a person reads it, with its place as `ops.one.config`."""
        place = f"at {'.'.join(map(str, self.path))}: " if self.path else ""
        expected = "" if self.expected is None or self.expected in self.message else f" Expected: {self.expected}"
        return f"{place}{self.message}{expected}"


@dataclass(frozen=True)
class Launched:
    """A run that was made; `status` is what Dagster said of it then."""

    id: str
    status: str | None


def check_config(api: dagster_api.DagsterApi, target: targets.Target, config: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` with all that is wrong with the run config, as a list in `errors` of its result, too."""
    if problems := config_problems(api, target, config):
        raise invalid(problems)


def config_problems(api: dagster_api.DagsterApi, target: targets.Target, config: Mapping[str, Any]) -> list[Problem]:
    """What Dagster says is wrong with the run config. Raises `InvalidInput` for what can't be sent at all."""
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidInput(
            f"The run config holds a value that JSON can't: {error}.", "Give it as text."
        ) from None
    variables = {"pipeline": selector(target, "pipelineName"), "config": config}
    return parse_config_problems(dagster_api.query(api, VALIDATE_QUERY, variables))


@dagster_api.reading("isPipelineConfigValid")
def parse_config_problems(data: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the config in the answer to `VALIDATE_QUERY`; nothing for a valid one."""
    answer = data.get("isPipelineConfigValid")
    if isinstance(answer, dict) and answer.get("__typename") == "RunConfigValidationInvalid":
        return [_problem(error) for error in answer["errors"]] or [Problem((), "UNKNOWN", "no reason given")]
    dagster_api.expect(data, "isPipelineConfigValid", "PipelineConfigValidationValid")
    return []


def invalid(problems: Sequence[Problem], partition: errors.InvalidInput | None = None) -> errors.InvalidInput:
    """The error that lists what is wrong with a run config and with a partition."""
    every, messages, hints = list(problems), [], []
    if partition:
        every.insert(0, Problem((), PARTITION, partition.message))
        messages.append(partition.message)
        hints.append(partition.hint)
    if problems:
        messages.append("\n  ".join(["The run config is not valid:", *(problem.line for problem in problems)]))
        hints.append(_config_hint(problems))
    result = {"errors": [problem.document for problem in every]}
    return errors.InvalidInput("\n".join(messages), "\n".join(hint for hint in hints if hint), result=result)


def read_tags(given: Sequence[str]) -> dict[str, str]:
    """The tags of a run, written KEY=VALUE; a value may hold anything. Raises `WrongUsage` for what is none."""
    tags = parse.whole_pairs(given, "--tag")
    check_tags(tags)
    return tags


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise `WrongUsage` for a tag of a run that Dagster or daglab itself goes by."""
    for key in tags:
        if key in (LAUNCH_TAG, KEY_TAG, REQUEST_TAG):
            raise errors.WrongUsage(f"The tag {key} is daglab's own: it finds the run by it.", "Take another key.")
        if key == "dagster/backfill":
            raise errors.WrongUsage(
                f"The tag {key} is Dagster's own: a run with it counts as a backfill's.", "Take another key."
            )
        if key.startswith(("dagster/partition", "dagster/asset_partition_range")):
            raise errors.WrongUsage(f"The tag {key} says which partition runs.", "Name it with --partition KEY.")


def launch(
    api: dagster_api.DagsterApi,
    target: targets.Target,
    config: Mapping[str, Any],
    tags: Mapping[str, str],
    *,
    launch_id: str | None = None,
) -> Launched:
    """Launch one run; never two, even when the answer is lost.

    The run carries the tag `daglab/launch_id`, and a lost answer is settled by asking for it, for as long as
    an answer may take. Raises `OutcomeUnknown` with the launch id when that finds nothing.
    """
    launch_id = launch_id or str(uuid.uuid4())
    every = {**tags, LAUNCH_TAG: launch_id}
    params = {
        "selector": selector(target, "jobName"),
        "runConfigData": config,
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in every.items()]},
    }
    try:
        return parse_launch(dagster_api.mutate(api, "launchRun", LAUNCH_MUTATION, {"params": params}))
    except web.AnswerLost as lost:
        return settle(api, launch_id, lost, lambda: by_tag(api, launch_id), "run")
    except dagster_api.ServerFailed as failed:
        # It may have failed after it had made the run: then the run is there, and tells the rest.
        return settle(api, launch_id, failed, lambda: by_tag(api, launch_id), "run")
    except dagster_api.Refused as refused:
        if refused.kind in NOT_LAUNCHED:
            raise
        return settle(api, launch_id, refused, lambda: by_tag(api, launch_id), "run")


def parse_launch(data: Mapping[str, Any]) -> Launched:
    """The run in the answer to `LAUNCH_MUTATION`. Raises `AnswerLost` when it does not say what was done."""
    return parse_launched(data, "launchRun")


def parse_launched(data: Mapping[str, Any], member: str) -> Launched:
    """The run that a mutation has launched. Raises `AnswerLost` when the answer does not say what was done."""
    with telling(member):
        return _launched(dagster_api.expect(data, member, "LaunchRunSuccess")["run"])


@contextlib.contextmanager
def telling(member: str) -> Iterator[None]:
    """Reads what a mutation's answer says was done. Raises `AnswerLost` when it does not say."""
    try:
        with dagster_api.reading(member):
            yield
    except dagster_api.ServerFailed:
        raise
    except errors.Unreachable as unclear:
        raise web.AnswerLost(unclear.message, "It may have been carried out.") from unclear


def settle(
    api: dagster_api.DagsterApi, launch_id: str, error: errors.DaglabError, find: Callable[[], Found | None], what: str
) -> Found:
    """What was made by a launch that ended with `error`, if anything was: `find` looks for it, `what` names it.

    Raises `OutcomeUnknown` with the id when that is not known, and `error` itself when nothing was made.
    """
    hint = f"`daglab runs settle {launch_id}` tells later whether it was made; don't launch it again before."
    unknown = {"launch": "unknown", "launch_id": launch_id, "runs": []}
    return look_for(api, error, find, what, tag=f"{LAUNCH_TAG}={launch_id}", hint=hint, unknown=unknown)


def look_for(
    api: dagster_api.DagsterApi,
    error: errors.DaglabError,
    find: Callable[[], Found | None],
    what: str,
    *,
    tag: str,
    hint: str,
    unknown: dict[str, Any],
) -> Found:
    """As `settle`, for what has another tag; `hint` and `unknown`, the result, are of the `OutcomeUnknown`.

    After a lost answer a slow server may make it as late as an answer may come; after an error that the server
    answered it is there at once or not at all.
    """
    deadline = time.monotonic() + api.session.timeout
    while True:
        try:
            found = find()
        except errors.DaglabError as unanswered:
            said = f"Asking for the {what} failed, too: {unanswered.message}"
        else:
            if found is not None:
                log.warning("The %s %s was made, although: %s", what, getattr(found, "id", found), error.message)
                return found
            if not isinstance(error, web.AnswerLost):
                raise error
            said = f"No {what} carries the tag {tag} so far."
        if time.monotonic() >= deadline:
            raise errors.OutcomeUnknown(f"{error.message} {said}", hint, result=unknown) from error
        time.sleep(0.5)


def by_tag(api: dagster_api.DagsterApi, launch_id: str) -> Launched | None:
    """The run that was launched with this id, None where there is none (yet); a retry of it has the tag, too."""
    data = dagster_api.query(api, BY_TAG_QUERY, {"tags": [{"key": LAUNCH_TAG, "value": launch_id}]})
    with dagster_api.reading("runsOrError"):
        results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
        return _launched(results[-1]) if results else None  # the newest comes first


def check_id(api: dagster_api.DagsterApi, launch_id: str) -> None:
    """Raise `InvalidInput` for what is no launch's id: to call it a launch that made nothing would invite a second."""
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.\d+)?", launch_id):
        raise errors.InvalidInput(
            f"{launch_id!r} is no launch's id.",
            "It is 36 letters, and was told with the error; `daglab runs list` lists runs.",
        )
    if runs.exists(api, launch_id):
        raise errors.InvalidInput(
            f"{launch_id} is the id of a run, not of a launch: the run is there.", f"daglab runs show {launch_id}"
        )


def wait_for(api: dagster_api.DagsterApi, find: Callable[[], Found | None]) -> Found | None:
    """What `find` finds of a launch; None when nothing has appeared for as long as an answer may take."""
    deadline = time.monotonic() + api.session.timeout
    while (found := find()) is None and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _launched(run: Mapping[str, Any]) -> Launched:
    run_id = run["runId"]
    if not isinstance(run_id, str) or not run_id:
        raise TypeError("runId is no text")
    return Launched(run_id, dagster_api.text_or_none(run.get("status")))


def selector(target: targets.Target, job_field: str) -> dict[str, Any]:
    """Dagster's selector; checking config calls the job pipelineName, launching calls it jobName."""
    selector: dict[str, Any] = {
        job_field: target.job,
        "repositoryName": target.repository,
        "repositoryLocationName": target.location,
    }
    if target.assets:
        selector["assetSelection"] = [{"path": list(key)} for key in target.assets]
    return selector


def _problem(error: Mapping[str, Any]) -> Problem:
    """One problem with the place it is at; Dagster's own `path` is always empty, its stack is not."""
    parts = (entry.get("fieldName", entry.get("listIndex")) for entry in error["stack"]["entries"])
    path = tuple(part for part in parts if type(part) in (str, int))  # an entry of a map is neither
    reason, message = dagster_api.text(error["reason"]), dagster_api.text(error["message"]).strip()
    example = None
    if reason.startswith("MISSING_REQUIRED_FIELD") and (marked := re.search(_EXAMPLE, message)):
        example = _from_root(path, _literal(message[marked.end() :]))
        message = message[: marked.start()]
    expected = None
    if told := re.search(_EXPECTED, message):
        expected, message = told[1], message[: told.start()]
    elif choices := list(re.finditer(_CHOICES, message)):
        expected = next(text for text in choices[-1].groups() if text is not None)
    shorten = dagster_api.shorten
    return Problem(path, reason, shorten(message), expected and shorten(expected), example)


def _literal(text: str) -> Any:
    """The value that Dagster has written in Python's way; None for what is no plain data."""
    if len(text) > _LONGEST_EXAMPLE:
        return None
    try:
        return json.loads(json.dumps(ast.literal_eval(text), allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _from_root(path: Sequence[str | int], value: Any) -> Any:
    """What stands at `path`, as run config from the root; None for None."""
    for part in reversed(path if value is not None else ()):
        value = {part: value} if isinstance(part, str) else [value]
    return value


def _config_hint(problems: Sequence[Problem]) -> str:
    how = "Give it with --run-config FILE or --config-yaml TEXT (YAML or JSON)"
    example: Any = None
    for problem in problems:
        example = _merged(example, problem.example)
    if example is None:
        return f"{how}."
    import yaml

    text = yaml.safe_dump(example, sort_keys=False, allow_unicode=True).rstrip()
    return f"{how}. An example of what is missing:\n{text}"


def _merged(one: Any, other: Any) -> Any:
    """Two examples in one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}
    return other if one is None else one
