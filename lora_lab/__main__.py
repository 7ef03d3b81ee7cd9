import sys

from lora_lab.cli import main

sys.exit(main())
