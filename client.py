"""The REPL, or one command: python client.py [COMMAND ARGS...]"""

from fluffy.apps.client import main

if __name__ == "__main__":
    main()
