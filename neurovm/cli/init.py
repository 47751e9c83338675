# SPDX-License-Identifier: Apache-2.0
"""`neurovm init`: what a broker's topics carry, and a first VM file for them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm import recording
from neurovm.cli import broker, child, deployment, draft, models, options, patterns, show
from neurovm.cli.exits import CannotCreateError, Exit
from neurovm.cli.record import broker_arguments, broker_options
from neurovm.cli.survey import Field, Survey, Topic

if TYPE_CHECKING:
    from neurovm.cli.draft import Draft
    from neurovm.cli.patterns import Pattern
    from neurovm.description import TensorInfo

MAX_BYTES = "256MB"
MOST_ROWS = 40
MOST_NODES = 8
CHECK_S = 60.0


@click.command()
@click.option(
    "--listen",
    "server",
    callback=options.judged(broker.check_url),
    metavar="URL",
    help="The broker: mqtt://HOST[:PORT] or mqtts.",
)
@click.option("--from", "file", type=options.FILE, metavar="FILE", help="Or a recording.")
@broker_options
@click.option(
    "--topic", "topics", multiple=True, metavar="FILTER", help="Only this MQTT filter. [default: #]"
)
@click.option(
    "--for",
    "duration",
    callback=options.duration,
    default="30s",
    show_default=True,
    metavar="TIME",
    help="Listen so long.",
)
@click.option("--model", type=options.FILE, metavar="FILE", help="A .nvm or .tflite to fit.")
@click.option(
    "--draft", "target", type=options.FILE, metavar="FILE", help="Write the VM file here."
)
@click.option("--force", is_flag=True, help="Overwrite it.")
@options.output()
@options.quiet
@click.pass_context
def init(
    ctx: click.Context,
    server: str | None,
    file: Path | None,
    username: str | None,
    password_file: str | None,
    ca_file: str | None,
    protocol: str,
    topics: tuple[str, ...],
    duration: str,
    model: Path | None,
    target: Path | None,
    form: str,
    *,
    force: bool,
    quiet: bool,
) -> None:
    """Listen to a broker, show what is published, and draft a VM file for it.

    Levels of topics that vary become {stream} and {element}. With --model the elements are filled
    in where their number fits, and what is missing is said; then `neurovmd check` judges the
    draft. Nothing is kept but the draft.

    \b
    Examples:
      neurovm init --listen mqtt://broker --for 1min
      neurovm init --listen mqtt://broker --topic 'plant/#' --model pump.nvm --draft vm.d/pump.yaml
      neurovm init --from seen.jsonl -o json
    """
    if (server is None) == (file is None):
        raise click.UsageError("one of --listen and --from is needed")
    if target is not None and target.exists() and not force:
        raise CannotCreateError(f"{target}: exists; --force overwrites it")
    if target is not None:
        _prepare(target)
    inputs, orders = _inputs(model, quiet=quiet)
    survey, code = Survey(), int(Exit.OK)
    if file is not None:
        with file.open("rb") as stream:
            for message in recording.read(stream, str(file)):
                survey.hear(message)
    else:
        where = broker_arguments(str(server), username, password_file, ca_file, protocol)
        where += [part for topic in topics for part in ("--topic", topic)]
        code = listen(survey, [*where, "--for", duration])
    if code:
        ctx.exit(code)
    found = patterns.find(survey.by_messages())
    named = None if model is None else str(model.absolute())
    heard = f"{survey.messages:,} messages on {len(survey.topics):,} topics"
    drafted = draft.write(found, heard, named, inputs, orders)
    _show(form, survey, found, drafted)
    if drafted is None:
        show.remark("nothing to draft from: no payload held numbers", quiet=quiet)
        ctx.exit(Exit.OK if target is None else Exit.DATA)
    elif target is not None:
        _write(target, drafted.text)
    if model is not None:
        ctx.exit(_check(drafted, quiet=quiet))


def listen(survey: Survey, arguments: list[str]) -> int:
    """Let a child listen and survey what it writes; its exit code."""
    bounds = ["--max-bytes", MAX_BYTES]
    with child.running("listen", *arguments, *bounds, stdout=subprocess.PIPE) as process:
        if process.stdout is not None:
            for message in recording.read(process.stdout, "the broker"):
                survey.hear(message)
        return process.wait()


def _inputs(
    model: Path | None, *, quiet: bool
) -> tuple[tuple[TensorInfo, ...], dict[int, list[str]]]:
    """The model's inputs, and the names of their elements in order where it was built with them."""
    if model is None:
        return (), {}
    with models.open_model(model, quiet=quiet) as opened:
        deploy = opened.manifest.deploy
        inputs = deploy.get("inputs") if deploy else None
        return opened.inputs, _orders(inputs)


def _orders(inputs: object) -> dict[int, list[str]]:
    """By input tensor, the `elements` of a manifest's `inputs`; the bundle may hold anything."""
    orders: dict[int, list[str]] = {}
    for each in inputs if isinstance(inputs, list) else []:
        to = each.get("to") if isinstance(each, dict) else None
        names = to.get("elements") if isinstance(to, dict) else None
        tensor = to.get("tensor", 0) if isinstance(to, dict) else 0
        if isinstance(tensor, int) and isinstance(names, list):
            orders[tensor] = [str(name) for name in names]
    return orders


def _prepare(target: Path) -> None:
    """See that the draft can be written before anybody listens for it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise CannotCreateError(f"{target}: cannot be written: {error.strerror}") from None


def _show(form: str, survey: Survey, found: Sequence[Pattern], drafted: Draft | None) -> None:
    topics, own = survey.by_messages(), survey.own()
    own_messages = sum(topic.messages for topic in own)
    data: dict[str, Any] = {
        "messages": survey.messages,
        "beyond": survey.beyond,
        "own": {"nodes": sorted(survey.nodes), "topics": len(own), "messages": own_messages},
        "topics": [topic.as_json() for topic in topics],
        "patterns": [
            {
                "topic": each.topic(draft.roles(each, None)),
                "payload": each.reading.form,
                "field": each.reading.path,
                "topics": each.topics,
                "messages": each.messages,
                "range": [each.low, each.high],
            }
            for each in found
        ],
        "draft": None if drafted is None else drafted.text,
        "missing": [] if drafted is None else drafted.missing,
    }
    if show.data(form, data):
        return
    if len(topics) <= MOST_ROWS:
        _show_topics(topics)
    else:
        _show_patterns(found)
        click.echo(f"{len(topics):,} topics in all (-o json lists them)")
    if own:
        click.echo(
            f"not shown: {own_messages:,} messages on {len(own):,} topics of neurovm itself "
            f"({', '.join(map(draft.clean, sorted(survey.nodes)[:MOST_NODES]))})"
        )
    if survey.beyond:
        click.echo(f"{survey.beyond:,} messages on further topics were not looked at")
    if drafted is not None:
        click.echo(f"\n{drafted.text}", nl=False)


def _show_topics(topics: Sequence[Topic]) -> None:
    show.table(
        ["topic", "messages", "per s", "bytes", "payload", "numbers"],
        [_row(topic) for topic in topics],
        left=["topic", "bytes", "payload", "numbers"],
        whole=["bytes", "payload"],
    )


def _show_patterns(found: Sequence[Pattern]) -> None:
    """What many topics have in common, the commonest first."""
    rows = []
    for each in sorted(found, key=lambda each: -each.messages)[:MOST_ROWS]:
        numbers = [each.reading.path] if each.reading.path else []
        if each.low is not None and each.high is not None:
            numbers.append(f"{each.low:.4g}…{each.high:.4g}")
        topic = draft.clean(each.topic(draft.roles(each, None)))
        shown = draft.clean(" ".join(numbers)) or "-"
        rows.append([topic, each.topics, each.messages, each.reading.form, shown])
    show.table(
        ["topic", "topics", "messages", "payload", "numbers"],
        rows,
        left=["topic", "payload", "numbers"],
        whole=["payload"],
    )
    if len(found) > MOST_ROWS:
        click.echo(f"and {len(found) - MOST_ROWS:,} more patterns")


def _row(topic: Topic) -> list[object]:
    rate = topic.rate_hz
    sizes = sorted({topic.least_bytes, topic.most_bytes})
    numbers = "; ".join(map(_numbers, topic.fields.values()))
    return [
        draft.clean(topic.name),
        topic.messages,
        None if rate is None else f"{rate:.3g}",
        "…".join(map(str, sizes)),
        ", ".join(topic.kinds),
        draft.clean(numbers)[:160] or "-",
    ]


def _numbers(found: Field) -> str:
    many = f"[{found.most}]" if found.is_list else ""
    name = f"{found.path or 'all'}{many}"
    clock = _clock(found)
    return f"{name} ({clock})" if clock else f"{name} {found.low:.4g}…{found.high:.4g}"


def _clock(found: Field) -> str:
    """The unit in which numbers seem to count from 1970 on (2001 to 2100); empty: they do not."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
        if 1e9 * scale <= found.low <= found.high <= 4.2e9 * scale:
            return f"time in {unit}"
    return ""


def _write(target: Path, text: str) -> None:
    try:
        with recording.create(target) as out:
            out.write(text.encode())
    except OSError as error:
        raise CannotCreateError(f"{target}: cannot be written: {error.strerror}") from None


def _check(drafted: Draft | None, *, quiet: bool) -> int:
    """What `neurovmd check` says of a draft, and what it lacks."""
    if drafted is None:
        return Exit.OK
    for missing in drafted.missing:
        show.remark(f"missing: {missing}", quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="neurovm-") as place:
        folder = Path(place)
        config = deployment.write(folder, "draft", {}, {})
        (folder / "vm.d/draft.yaml").write_text(drafted.text, encoding="utf-8")
        ran = subprocess.run(
            deployment.daemon_command("check", "--json", "--config", str(config)),
            capture_output=True,
            env=deployment.daemon_environment(),
            timeout=CHECK_S,
            check=False,
        )
    errors = json.loads(ran.stdout)["errors"]
    for error in errors:
        show.remark(f"{error['key']}: found {error['found']}; {error['accepted']}", quiet=False)
    if not errors:
        show.remark("neurovmd check accepts the draft", quiet=quiet)
    return Exit.CONFIG if errors else Exit.OK
