"""Documents through the real program: a scripted model reads a Word file and a range of a sheet."""

from pathlib import Path

from document_files import make_docx, make_xlsx
from kimi_program import Program


def read(tool: str, **arguments: str) -> list[object]:
    return [{"call": {"name": tool, "arguments": arguments}}]


def test_the_program_reads_documents(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    (kimi.work / "plan.docx").write_bytes(make_docx())
    (kimi.work / "costs.xlsx").write_bytes(make_xlsx({"Costs": [["Rent", 1200]]}))
    scenario = kimi.scenario(
        read("ReadFile", path="plan.docx"),
        [
            {"expect": "     3\t[section 2] # Budget"},
            *read("ReadDocument", path="costs.xlsx", sheet="Costs", cells="B1"),
        ],
        [{"expect": "[sheet Costs]\nB1: 1200"}, {"text": "Rent is 1200 [sheet Costs] B1."}],
    )
    done = kimi.run("-p", "what is the rent?", "--provider", scenario)
    assert done.stdout == "Rent is 1200 [sheet Costs] B1.\n", done.stderr
    assert done.stderr.count("left out") == 0
