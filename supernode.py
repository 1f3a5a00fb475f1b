"""Run the supernode: python supernode.py [--config FILE]"""

from fluffy.apps.supernode import main

if __name__ == "__main__":
    main()
