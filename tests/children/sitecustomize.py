"""Read by every Python process that a test starts: what its user's environment would not have.

torchmetrics is here as an oracle for the scores. Lightning loads it where it finds it, with all of
scipy.signal, and every training that a test starts would pay two seconds for it.
"""

import sys

sys.modules["torchmetrics"] = None  # type: ignore[assignment]
