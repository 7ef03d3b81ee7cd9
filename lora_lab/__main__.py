import sys

from lora_lab.cli.main import main

sys.exit(main())
