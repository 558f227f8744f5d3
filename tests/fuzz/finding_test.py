"""usage: finding_test.py FUZZER     tools/fuzz.py counts what FUZZER finds, shows it, and fails."""
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
import fuzz  # noqa: E402: after its folder is known

with tempfile.TemporaryDirectory() as folder:
    programs = Path(folder) / "bin"
    programs.mkdir()
    for other in fuzz.fuzzers(Path(folder), None):  # without a fuzzer yet: what runs programs, none of which finds anything
        other.program.symlink_to("/bin/true")
    (programs / "finding_fuzzer").symlink_to(Path(sys.argv[1]).resolve())
    run = subprocess.run([sys.executable, "-B", TOOLS / "fuzz.py", "1", "1", folder], capture_output=True, text=True, check=False)
    print(run.stdout, run.stderr)
    assert run.returncode == 1, f"exit status {run.returncode}"
    assert run.stdout.rstrip().endswith(", 1 findings"), "not counted"
    assert "fuzz-finding-of-test" in run.stdout, "its log is not shown"
