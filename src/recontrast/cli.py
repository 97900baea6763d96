"""The command line: one row a command. Options come from the settings classes; nothing else parses arguments."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
import sys
import traceback
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from recontrast.errors import ConfigError, RecontrastError, RecontrastWarning, UnknownNameError

if typing.TYPE_CHECKING:
    from recontrast.execution.workers import Summary

DONE, BUG, MENDABLE, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit statuses: done; a bug; something the user can mend; finished but cases failed; stopped by the user."""


@dataclass(frozen=True)
class Command:
    """One row of the table of commands.

    Attributes:
        module: Module below `recontrast` that holds the function and its settings.
        function: The function; its settings class is named after it.
        summary: What it does, for `recontrast --help`.
        computes: Whether it runs networks, so that the tuned allocator pays.
        settings: Module below `recontrast` that holds the settings class, where importing `module` takes long.
        ahead: Module below `recontrast` that is imported for all worker processes, while this one imports `module`.
    """

    module: str
    function: str
    summary: str
    computes: bool = False
    settings: str = ""
    ahead: str = ""

    @property
    def settings_name(self) -> str:
        """Name of the settings class."""
        return f"{self.function.split('_')[0].capitalize()}Settings"


COMMANDS = {
    "demo": Command("demonstration", "demo", "the whole way on a simulated cohort, ending in OUT/report.html", True),
    "simulate": Command("phantom.cohort", "simulate", "a cohort of physics-simulated heads as a BIDS data set"),
    "import": Command("importing.command", "import_dicom", "a folder of DICOM files to a BIDS data set"),
    "prepare": Command("preparation.pipeline", "prepare", "raw BIDS to prepared cases: grid, alignment, masks, scale"),
    "thumbnails": Command(
        "reporting.thumbnails", "thumbnails", "a page of thumbnails of a prepared folder, worst case first"
    ),
    "quantify": Command("relaxometry.quantify", "quantify", "raw images (delays, flip angles, echoes) to T1, T2, PD"),
    "synthesize": Command("relaxometry.command", "synthesize", "images of any spin-echo sequence from parameter maps"),
    "train": Command("training.command", "train", "learn a translator from prepared cases", True),
    "train-segmenter": Command(
        "training.segmenter",
        "teach_segmenter",
        "a network of tissues, whose features the loss segmentation compares",
        True,
    ),
    "translate": Command(
        "translation.command", "translate", "make the missing contrast of new scans", True, "translation.settings"
    ),
    "evaluate": Command(
        "evaluation.command",
        "evaluate",
        "score synthetic images against acquired ones and controls",
        settings="evaluation.settings",
        ahead="evaluation.ready",
    ),
    "inspect": Command("inspection.command", "inspect", "what a translator learned, and where it invents", True),
    "study": Command(
        "study.command", "study_paper", "a whole paper: train, choose, score, and its table beside ours", True
    ),
    "compare": Command(
        "evaluation.comparison_command", "compare", "translators against each other on the same subjects"
    ),
    "report": Command("reporting.report", "report", "one HTML page from whatever evidence is in a folder"),
    "readers new": Command("readers.new", "new_study", "a blinded reader study from a design: images, orders, links"),
    "readers serve": Command("readers.serve", "serve", "the reading room of a study in the browser"),
    "readers analyse": Command("readers.analyse", "analyse", "answers of a study to tables, agreement and a report"),
    "list": Command(
        "cli", "show", "what there is: presets, studies, models, recipes, losses, metrics, protocols, controls …"
    ),
}

FAMILIES = {
    "models": ("models", "MODELS"),
    "recipes": ("recipes", "RECIPES"),
    "preparations": ("preparation.recipes", "PREPARATIONS"),
    "losses": ("losses", "LOSSES"),
    "metrics": ("metrics", "METRICS"),
    "protocols": ("evaluation.protocols", "PROTOCOLS"),
    "controls": ("evaluation.controls", "CONTROLS"),
    "sequences": ("relaxometry.synthesis", "SEQUENCES"),
}


@dataclass(frozen=True, kw_only=True)
class ShowSettings:
    """What `recontrast list` lists."""

    what: Literal[
        "presets", "studies", "designs", "models", "recipes", "preparations", "losses", "metrics", "protocols",
        "controls", "sequences",
    ]  # fmt: skip
    """Family to list; designs are those of reader studies."""

    memory: bool = False
    """Presets: also the memory of a training step on this machine, predicted, at both scales."""


def show(settings: ShowSettings) -> Summary:
    """List the members of a family, one line each."""
    from recontrast.execution.workers import Summary

    if settings.what == "presets":
        from recontrast.training.plan import preset_paths, preset_summary

        lines = {name: preset_summary(path) for name, path in preset_paths().items()}
        if settings.memory:
            from recontrast.training.memory import preset_memory

            lines = {name: preset_memory(name) for name in lines}
    elif settings.what == "studies":
        from recontrast.study.settings import study_paths
        from recontrast.training.plan import preset_summary

        lines = {name: preset_summary(path) for name, path in study_paths().items()}
    elif settings.what == "designs":
        from recontrast.readers.study import design_paths, design_summary

        lines = {name: design_summary(path) for name, path in design_paths().items()}
    else:
        module, registry = FAMILIES[settings.what]
        members = getattr(importlib.import_module(f"recontrast.{module}"), registry)
        lines = {name: _first_line(member) for name, member in members.items()}
    width = max(map(len, lines), default=0)
    return Summary([f"{name:<{width}}  {text}".rstrip() for name, text in lines.items()])


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `recontrast` program; leaves with the exit status of the command."""
    if arguments is None:
        _restart_with_tuned_allocator(sys.argv[1:])
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments), alone=arguments is None))


def run(arguments: list[str], *, alone: bool = False) -> int:
    """Run one command line and return its exit status.

    Args:
        arguments: What stands after `recontrast`.
        alone: Whether this process is there for this command only; its imports then are not done yet.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return DONE if arguments else MENDABLE
    if arguments[0] in ("-V", "--version"):
        from recontrast.provenance import version

        print(f"recontrast {version()}")
        return DONE
    try:
        words = 2 if " ".join(arguments[:2]) in COMMANDS else 1
        name = " ".join(arguments[:words])
        if name not in COMMANDS:
            raise UnknownNameError.among("command", " ".join(_meant(arguments)), COMMANDS)
        return _run_command(name, arguments[words:], alone)
    except RecontrastError as error:
        _say(f"recontrast: error: {error}")
        return MENDABLE
    except KeyboardInterrupt:
        _say("recontrast: stopped; what was finished is kept, the same command goes on from there (train: --resume)")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception:
        traceback.print_exc()
        _say("recontrast: this is a bug in Recontrast, not a mistake of yours; please report the lines above")
        return BUG


def _meant(arguments: Sequence[str]) -> Sequence[str]:
    """What was meant as the command: two words where the first is that of a group (`readers new`)."""
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    return arguments[: 2 if arguments[0] in groups else 1]


def _run_command(name: str, arguments: list[str], alone: bool) -> int:
    command = COMMANDS[name]
    settings, shared = _parse(name, command, arguments)
    _set_up_messages(shared.verbose, shared.quiet)
    if command.ahead and alone:
        _preload_workers(command, settings)
    module = importlib.import_module(f"recontrast.{command.module}")
    summary: Summary = getattr(module, command.function)(settings)
    for line in summary.done:
        _say(line, sys.stdout)
    for case, reason in summary.failed.items():
        _say(f"failed: {case}: {reason.removeprefix(f'{case}: ')}")
    return PARTLY if summary.failed else DONE


def _preload_workers(command: Command, settings: Any) -> None:
    """Import for the workers now: their imports and ours take seconds, and go side by side."""
    from recontrast.execution.workers import preload_workers

    preload_workers(f"recontrast.{command.ahead}", workers=settings.workers, scheduler=settings.scheduler)


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """Options that every command has."""

    config: Path | None = None
    """TOML file with any of this command's options; the command line wins."""
    verbose: bool = False
    """Also say what is being done in detail."""
    quiet: bool = False
    """Say only what went wrong."""
    tuned_allocator: bool = True
    """Restart with allocator settings that make networks faster on CPUs (train, translate, inspect, study, demo)."""


def _parse(name: str, command: Command, arguments: list[str]) -> tuple[Any, SharedOptions]:
    import tyro

    _refuse_repeated(arguments)
    module = importlib.import_module(f"recontrast.{command.settings or command.module}")
    cls = getattr(module, command.settings_name)
    joined = dataclasses.make_dataclass(
        "Options",
        [
            ("settings", Annotated[cls, tyro.conf.arg(name="")]),
            ("shared", Annotated[SharedOptions, tyro.conf.arg(name="")]),
        ],
        frozen=True,
        kw_only=True,
    )
    config = _config_path(arguments)
    default = None
    if config is not None:
        from recontrast.config import read_toml

        default = joined(settings=_partial(cls, read_toml(config), str(config)), shared=SharedOptions())
    options: Any = tyro.cli(
        joined,
        prog=f"recontrast {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        args=arguments,
        default=default,
        config=(tyro.conf.PositionalRequiredArgs,),
    )
    return options.settings, options.shared


def _refuse_repeated(arguments: Sequence[str]) -> None:
    """An option given twice would count once, the last time: `--set A --set B` would forget A without a word."""
    names = [argument.partition("=")[0] for argument in arguments if argument.startswith("--") and len(argument) > 2]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} is given twice; give it once, several values after each other: {name} A B")


def _config_path(arguments: Sequence[str]) -> Path | None:
    for position, argument in enumerate(arguments):
        if argument == "--config" and position + 1 < len(arguments):
            return Path(arguments[position + 1])
        if argument.startswith("--config="):
            return Path(argument.removeprefix("--config="))
    return None


def _partial(cls: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Settings with `values` filled in and required fields still open, to be closed by the command line."""
    import tyro

    from recontrast.config import complete, read_value

    settings = object.__new__(cls)  # checks of the class run when it is complete, not here
    hints = typing.get_type_hints(cls)
    given = complete(cls, values, where)
    for field in dataclasses.fields(cls):
        if field.name in given:
            content: Any = read_value(hints[field.name], given[field.name], where, field.name)
        elif field.default is not dataclasses.MISSING:
            content = field.default
        elif field.default_factory is not dataclasses.MISSING:
            content = field.default_factory()
        else:
            content = tyro.MISSING
        object.__setattr__(settings, field.name, content)
    return settings


_WITHOUT_RESTART = {"--no-tuned-allocator", "-h", "--help"}


def _restart_with_tuned_allocator(arguments: Sequence[str]) -> None:
    """Start this program again in the same process with the allocator settings, which are read only at its start.

    Before options are parsed, for that imports what the command needs, which then would be imported twice. Whoever
    calls `run` is not the program, and is not replaced.
    """
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None or not command.computes or {word.replace("_", "-") for word in arguments} & _WITHOUT_RESTART:
        return
    from recontrast.execution.runtime import allocator_environment, is_tuned

    extra = allocator_environment()
    if is_tuned() or not extra or "GLIBC_TUNABLES" in os.environ or sys.argv[0] in ("", "-c"):
        return
    sys.stdout.flush()
    # -m alone looks for every module in the working folder first, and runs a statistics.py that lies beside the data.
    # Whoever says `python -m recontrast` has done so already, perhaps because the package lies there.
    by_module = Path(sys.argv[0]).name == "__main__.py" and not sys.flags.safe_path
    words = [sys.executable, *(() if by_module else ("-P",)), "-m", "recontrast", *arguments]
    os.execve(sys.executable, words, {**os.environ, **extra})


def _set_up_messages(verbose: bool, quiet: bool) -> None:
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("recontrast")
    ours.handlers[:] = [handler]
    ours.setLevel(level)

    def one_line(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
    ) -> None:
        if issubclass(category, RecontrastWarning):
            ours.warning("warning: %s", message)
        else:
            ours.debug("%s:%d: %s: %s", filename, lineno, category.__name__, message)

    warnings.simplefilter("always", RecontrastWarning)
    warnings.showwarning = one_line


def _overview() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: recontrast COMMAND [options]\n\n"
        "Gives an MR image a new contrast, says where it can be trusted, and proves it on held-out subjects.\n\n"
        f"commands:\n{rows}\n\n"
        "`recontrast COMMAND --help` shows the options of a command with defaults and units.\n"
        "exit status: 0 done, 2 something you can mend (one line says what), 3 some cases failed, 1 a bug"
    )


def _first_line(member: Any) -> str:
    """What a member says of itself; a member that is data (a protocol) has the docstring of its class only."""
    text = getattr(member, "summary", None) or getattr(member, "description", None) or (member.__doc__ or "")
    return str(text).strip().splitlines()[0] if str(text).strip() else ""


def _say(line: str, where: TextIO | None = None) -> None:
    """Print a line, on stderr unless told otherwise; file names in it may hold bytes that are not UTF-8."""
    print(line.encode("utf-8", "backslashreplace").decode("utf-8"), file=where or sys.stderr)


if __name__ == "__main__":
    main()
