"""The servers that any test may ask for."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # behind all that is installed

pytest_plugins = ["services.fixtures"]
