"""Result of an examination: one line per check, and a list of findings, each with its remedy."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from vlt.errors import VLTError, VLTWarning

Severity: TypeAlias = Literal["error", "warning", "note"]
"""error: the run would fail; warning: it would run, but its result is doubtful; note: nothing is wrong."""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found.

    Attributes:
        severity: see `Severity`.
        subject: the check that found it, and of several data sets or parts which one.
        sentence: what is wrong and where.
        remedy: what to do, a clause without a full stop.
    """

    severity: Severity
    subject: str
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Check:
    """Result of a check.

    Attributes:
        name: name of the check.
        result: the result in one line.
        values: the numbers in that line, unrounded; seconds, hours and bytes as their names say.
    """

    name: str
    result: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass
class Diagnosis:
    """Results of all checks so far.

    Attributes:
        checks: in the order in which they were made.
        findings: likewise.
    """

    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong: there are neither errors nor warnings."""
        return not self.count("error") and not self.count("warning")

    def count(self, severity: Severity) -> int:
        """Count the findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def report(self, name: str, result: str, **values: float) -> None:
        """Add the result of a check; arguments as the attributes of `Check`."""
        self.checks.append(Check(name, result, values))

    def find(self, severity: Severity, subject: str, sentence: str, remedy: str) -> None:
        """Add a finding; arguments as its attributes. One that is there already is not added again."""
        finding = Finding(severity, subject, sentence, remedy)
        if finding not in self.findings:
            self.findings.append(finding)

    def attempt(
        self, subject: str, compute: Callable[[], Result], remedy: str, *, warned: Severity = "note"
    ) -> Result | None:
        """Compute something; an error of this package and each of its warnings become findings.

        Args:
            subject: see `Finding`.
            compute: the computation.
            remedy: for messages that name none, a clause without a full stop.
            warned: severity of warnings.

        Returns:
            The result; None: it failed.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", VLTWarning)
            try:
                return compute()
            except VLTError as error:
                self.find("error", subject, *divide(str(error), remedy))
                return None
            finally:
                for warning in caught:
                    self.find(warned, subject, *divide(str(warning.message), remedy))

    def __str__(self) -> str:
        """The checks, a line each; the findings, most severe first, each with its remedy below; a closing line."""
        lines = [f"{check.name:<10} {check.result}" for check in self.checks]
        for severity in SEVERITIES:
            for finding in self.findings:
                if finding.severity == severity:
                    lines.append("")
                    lines.append(f"{severity:<10} {finding.subject}: {finding.sentence}")
                    lines.append(f"{'':<10} remedy: {finding.remedy}")
        return "\n".join([*lines, "", self.closing()])

    def closing(self) -> str:
        """Say in one line whether something is wrong."""
        counts = {severity: self.count(severity) for severity in SEVERITIES}
        named = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items() if count)
        if not self.ok:
            return f"Something is wrong: {named}."
        return f"Nothing is wrong{f' ({named})' if named else ''}."

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON values; findings have the order of the text."""
        ordered = sorted(self.findings, key=lambda finding: SEVERITIES.index(finding.severity))
        return {
            "checks": [asdict(check) for check in self.checks],
            "findings": [asdict(finding) for finding in ordered],
            "ok": self.ok,
        }


def divide(message: str, remedy: str) -> tuple[str, str]:
    """Divide a message at its last semicolon outside brackets, behind which messages of this package name the remedy.

    Args:
        message: the text of an error or a warning.
        remedy: the remedy where the message has no such semicolon.

    Returns:
        A sentence, and a remedy without a full stop.

    Example:
        >>> divide("There is no a.json; run `vlt prepare` (again; here).", "")
        ('There is no a.json.', 'run `vlt prepare` (again; here)')
        >>> divide("There is no a.json.", "make it")
        ('There is no a.json.', 'make it')
    """
    found = re.fullmatch(r"(.+); ((?:[^;()]|\([^()]*\))+)", message, re.DOTALL)
    if found is None:
        return message, remedy
    return f"{found[1]}.", found[2].rstrip(".")


def counted(number: int, noun: str) -> str:
    """Write a number with its noun.

    Example:
        >>> counted(1, "photo"), counted(1210, "expression")
        ('1 photo', '1,210 expressions')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def sized(number: float) -> str:
    """Write a number of bytes with its unit.

    Example:
        >>> sized(3_400_000), sized(25_300_000_000)
        ('3.4 MB', '25.3 GB')
    """
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
