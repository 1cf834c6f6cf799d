"""A user's own import of torchvision works wherever Amulet's does."""

import subprocess
import sys


def test_a_module_that_imports_torchvision_itself_can_be_loaded() -> None:
    script = (
        "from amulet.core.vision import mend_torchvision; import sys; mend_torchvision()\n"
        "assert 'torch' not in sys.modules, 'nothing is loaded before it is needed'\n"
        "import torchvision.models\n"
        "print(type(torchvision.models.mobilenet_v3_small(num_classes=2)).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "MobileNetV3"
