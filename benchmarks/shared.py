"""Where the shared networks and photographs lie."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("XAIPRUNE_SHARED_DATA", ROOT.parent / "shared" / "data"))
