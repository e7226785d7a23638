"""The commands of ``hare``, each with its options: ``hare --help`` lists them."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from hare.cli import INTERRUPTED
from hare.core.errors import HareError
from hare.core.profile import known_profiles, load_profile

_LAST_PORT = 65_535


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: choose a number from 1 to {_LAST_PORT}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Of the command line; what it parses has a function ``run`` that carries the command out."""
    top = argparse.ArgumentParser(prog="hare", description="HARE (arXiv 2406.11410), rebuilt and put to the test.")
    commands = top.add_subparsers(required=True, metavar="command")

    def command(name: str, run: object, says: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=says, description=says)
        added.add_argument(
            "--profile", default="laptop", metavar="P", help=f"{', '.join(known_profiles())} or a YAML file; laptop"
        )
        added.set_defaults(run=run)
        return added

    reproduce = command("reproduce", _reproduce, "Run every notebook whose code, parameters or inputs have changed.")
    which = reproduce.add_mutually_exclusive_group()
    which.add_argument("--from", dest="first", metavar="NN", help="consider notebooks from number NN on")
    which.add_argument("--only", metavar="NN", help="consider notebook NN alone")
    reproduce.add_argument("--force", action="store_true", help="run them afresh even if nothing has changed")
    reproduce.add_argument("--bundle", type=Path, metavar="FILE", help="take what earlier notebooks made from a bundle")
    command("figures", _figures, "Draw every figure and table again from the recorded results, without torch.")
    command("status", _status, "Show which notebooks are done, which are out of date and why, and what runs now.")
    command("doctor", _doctor, "Check this machine and say what to do about what is missing.")
    command("site", _site, "Lay out notebooks, figures and article as pages to be opened from disk.")
    verify = command("verify", _verify, "Compare a rerun's results with the record, verdicts first; exit code 0 or 1.")
    verify.add_argument("--against", type=Path, metavar="DIR", help="the record; else the commit's results")
    verify.add_argument("--record", action="store_true", help="keep the outcome in results/<profile>/verification")
    chat = command("chat", _chat, "Talk to the fine-tuned model of a profile; a line is a message.")
    chat.add_argument("--tool", action="store_true", help="have requests carried out by HARE-Tool, in a sandbox")
    bench = command("bench", _bench, "Measure speeds and record them under results/<profile>/bench.")
    bench.add_argument("groups", nargs="*", metavar="group", help="what to measure; everything unless named")
    power = command("power", _power, "Say how many seeds or tokens would decide an effect, from the recorded noise.")
    power.add_argument("--effect", type=float, default=0.01, metavar="BPB", help="bits per byte; 0.01")
    power.add_argument("--endpoint", default="p", metavar="E", help="p, n, h1, h2 or h3; p")
    command("register", _register, "Write the digests of the study's sets of texts into paper/preregistration.yaml.")
    publish = command("publish", _publish, "Write more texts of D2 and publish them; continues from what is published.")
    publish.add_argument(
        "--tokens", type=int, default=2_000_000, metavar="N", help="that D2 is to have in the end; 2000000"
    )
    train = command("train", _train, "Train the profile's arms from its token files, or show what that would take.")
    how = train.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="print and check configuration, scripts, memory and days")
    how.add_argument("--simulate", action="store_true", help="build every rank of the layout here and check its part")
    how.add_argument("--plan", action="store_true", help="write the runs down for processes started by other means")
    train.add_argument("--port", type=_port, metavar="N", help="with --plan: check that this machine's port N is free")
    bundle = command("bundle", _bundle, "Pack what notebooks 05 and later need on a machine without network.")
    bundle.add_argument("--wheels", type=Path, metavar="DIR", help="a folder of wheels to take along")
    return top


def _reproduce(chosen: argparse.Namespace) -> int:
    from hare.driver.reproduce import Choice, reproduce

    profile = load_profile(chosen.profile)
    import_module("hare.benchmarks.registry")  # a spec that cannot be used is refused here, before anything runs
    if chosen.bundle:
        from hare.training.cluster.bundle import open_bundle

        open_bundle(profile, chosen.bundle)
    ran = reproduce(profile, Choice(chosen.first, chosen.only, chosen.force))
    print(f"{ran} notebooks run; results/{profile.name} is up to date." if ran else "Nothing to do: all is up to date.")
    return 0


def _figures(chosen: argparse.Namespace) -> int:
    from hare.core.chain import CHAIN
    from hare.core.paths import Workspace
    from hare.driver.state import accept_drawn
    from hare.report.build import build

    profile = load_profile(chosen.profile)
    for path in build(profile):
        print(path)
    accept_drawn(Workspace(profile.name), CHAIN)
    return 0


def _status(chosen: argparse.Namespace) -> int:
    from hare.driver.status import status

    profile = load_profile(chosen.profile)
    print("\n".join(status(profile)))
    if profile.training.keep_scores:
        from hare.training.cluster.outlook import outlook

        print("\n".join(outlook(profile)))
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from hare.driver.doctor import examine
    from hare.model.sizes import parameters
    from hare.tokens.tokenizer import Vocabulary

    profile = load_profile(chosen.profile)
    checks = examine(profile, parameters(profile.model, Vocabulary.named(profile.tokens.vocabulary).size))
    print("\n".join(check.line() for check in checks))
    if profile.training.processes > 1:
        from hare.training.cluster.estimate import estimate

        print(estimate(profile))
    return int(any(check.verdict == "fail" for check in checks))


def _site(chosen: argparse.Namespace) -> int:
    from hare.report.pages.site import build_site

    print(build_site(load_profile(chosen.profile)))
    return 0


def _verify(chosen: argparse.Namespace) -> int:
    from hare.driver.verify import keep, verify

    profile = load_profile(chosen.profile)
    verification = verify(profile, chosen.against)
    print("\n".join(verification.lines()))
    if chosen.record:
        print(f"\nkept in {keep(verification, profile, chosen.against)}")
    return 0 if verification.agrees else 1


def _bench(chosen: argparse.Namespace) -> int:
    from hare.bench.groups import bench

    bench(load_profile(chosen.profile), chosen.groups)
    return 0


def _power(chosen: argparse.Namespace) -> int:
    from hare.evaluation.power import printed

    print(printed(load_profile(chosen.profile).name, chosen.effect, chosen.endpoint))
    return 0


def _register(chosen: argparse.Namespace) -> int:
    from hare.evaluation.preregistration import register

    print(register(load_profile(chosen.profile).name))
    return 0


def _publish(chosen: argparse.Namespace) -> int:
    from hare.synthesis.growth import grow

    print(grow(load_profile(chosen.profile), chosen.tokens))
    return 0


def _train(chosen: argparse.Namespace) -> int:
    from hare.training import command

    profile = load_profile(chosen.profile)
    if chosen.port is not None and not chosen.plan:
        raise HareError("--port stands without --plan.", "add --plan, or leave --port out: nothing else uses it")
    if chosen.dry_run:
        print(command.dry_run(profile))
    elif chosen.simulate:
        print(command.simulated(profile))
    elif chosen.plan:
        print(command.planned(profile, chosen.port))
    else:
        print(command.trained(profile))
    return 0


def _bundle(chosen: argparse.Namespace) -> int:
    from hare.training.cluster.bundle import make_bundle

    profile = load_profile(chosen.profile)
    path = make_bundle(profile, Path(f"hare-{profile.name}.zip").absolute(), chosen.wheels)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB); its README.txt says how it is run")
    return 0


def _chat(chosen: argparse.Namespace) -> int:
    from hare.finetuning.terminal import chat, load, phone, typed

    profile = load_profile(chosen.profile)
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # a byte of another encoding does not end the chat
    try:
        if chosen.tool:
            phone(load(profile, "tool"), typed(sys.stdin, sys.stdout), sys.stdout)
        else:
            chat(load(profile, "chat"), typed(sys.stdin, sys.stdout), sys.stdout)
    except KeyboardInterrupt:  # nothing is kept with which the same command could continue
        print()
        return INTERRUPTED
    return 0
