"""The long-lived work of a supernode: following clusters, knowing askers, copies that are owed, mirrors."""
