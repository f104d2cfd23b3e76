"""The commands about evidence."""

from typing import Annotated, Any

import typer

from batch.cli.app import DONE, app, runtime, screen_of, show
from batch.cli.help_text import NOT_SHOWN, Group, command
from batch.cli.options import LEDGER, READING_ONLY, Call, NewestRun, takes
from batch.settings import Option, Settings


class WithDefault(Group):
    """The commands; `evidence RUN` is short for `evidence pack RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Adds the word `pack` if there is none."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["pack", *args]
        return super().parse_args(ctx, args)


evidence_app = typer.Typer(
    name="access-batch evidence",
    cls=WithDefault,
    help="Write the evidence of a run to one file, for an auditor, or verify such a file. `evidence RUN` writes it.",
    rich_markup_mode=None,
)
app.add_typer(evidence_app, name="evidence")


@command(
    evidence_app,
    examples=("74ba1e2763da", "74ba1e2763da --out pack.zip --signing-key ~/.ssh/id_ed25519"),
    codes={3: "it was written, and shows that the ledger is not sound", **NOT_SHOWN},
)
@takes(LEDGER, "out", "plan", "input", "signing_key", READING_ONLY, "identity_by", ("json", "quiet"))
def pack(
    settings: Settings,
    call: Call,
    run: NewestRun = "",
    out: Annotated[
        str,
        typer.Option(
            *("--out", "-o"),
            metavar="FILE",
            show_default=False,
            help="The new file. [default: evidence-RUN.zip beside the run's results, or in the current folder]",
        ),
    ] = "",
    plan: Annotated[str, Option("The saved plan that was submitted.", "FILE", default="where submit found it")] = "",
    input: Annotated[  # noqa: A002 - the option's name
        tuple[str, ...],
        Option("The input that was submitted; repeatable.", "FILE", default="where submit found it"),
    ] = (),
) -> None:
    """Write everything that is known of a run to one file: rows, plan, events, results, report, signatures.

    The word `pack` may be left out. The options that read the input must be those of submit.
    """
    from batch.commands.evidence import make_evidence

    made = make_evidence(settings, run, screen_of(call), runtime(), file=out, plan=plan, inputs=input)
    show(made.as_json() if call.json else made.describe(), then=DONE)
    raise typer.Exit(made.exit_code)


@command(
    evidence_app,
    examples=("pack.zip --trust allowed_signers", "pack.zip --head 412:9f86d081884c7d65 --json"),
    codes={
        0: "the evidence is consistent; with --trust: and somebody whom you trust vouches for it",
        2: "the file is not evidence, or only a part of it",
        3: "something is wrong with it: see the list",
        **NOT_SHOWN,
    },
)
@takes(("trust", "head"), "json")
def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file that `evidence` has written.")],
    call: Call,
    trust: Annotated[
        str, Option("Whom you trust: a file of allowed signers, or of public keys of machines.", "FILE")
    ] = "",
    head: Annotated[
        str, Option("Head of the run that was noted before: prove that nothing was cut off.", "N:HASH")
    ] = "",
) -> None:
    """Prove a file of evidence sound, or list its faults. Needs no ledger, no tenant and no network."""
    from batch.commands.evidence_verify import verify_evidence

    verdict = verify_evidence(file, trust=trust, head=head)
    show(verdict.as_json() if call.json else verdict.describe(), is_all=True)
    raise typer.Exit(verdict.exit_code)
