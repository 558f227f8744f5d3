"""usage: finding_test.py FUZZER     tools/fuzz.py counts what FUZZER finds, shows it, and fails."""
import subprocess
import sys
import tempfile
from pathlib import Path

FUZZ = Path(__file__).resolve().parents[2] / "tools/fuzz.py"

with tempfile.TemporaryDirectory() as folder:
    programs = Path(folder) / "bin"
    programs.mkdir()
    (programs / "finding_fuzzer").symlink_to(Path(sys.argv[1]).resolve())
    for program in ("hawser-fuzz-simulated", "hawser-fuzz-threads", "hawser-fuzz-calls"):
        (programs / program).symlink_to("/bin/true")
    run = subprocess.run([sys.executable, "-B", FUZZ, "1", "1", folder], capture_output=True, text=True, check=False)
    print(run.stdout, run.stderr)
    assert run.returncode == 1, f"exit status {run.returncode}"
    assert run.stdout.rstrip().endswith(", 1 findings"), "not counted"
    assert "fuzz-finding-of-test" in run.stdout, "its log is not shown"
