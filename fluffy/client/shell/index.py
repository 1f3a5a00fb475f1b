"""The table of commands as it stands on the screen: what `help`, `--help` and completion show without loading anything.

Each row says in which module the command is, which is loaded when the command is first used. A test compares the rows
with the commands themselves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A command. `module`: has it in its `SPECS`."""

    module: str
    name: str
    group: str
    summary: str
    aliases: tuple[str, ...] = ()


def _row(module: str, name: str, group: str, summary: str, *aliases: str) -> Row:
    return Row(f"fluffy.client.shell.{module}", name, group, summary, aliases)


ROWS: tuple[Row, ...] = (
    _row("transfers", "upload", "files", "Upload local files: create them, or update those that are there.", "put"),
    _row("transfers", "update", "files", "Replace a remote file, which must be there, by a new version, atomically."),
    _row("transfers", "download", "files",
         "Download files, verified; a broken download goes on where it stopped.", "get"),
    _row("files", "delete", "files", "Delete files; they stay in the trash for as long as the bucket keeps it.", "rm"),
    _row("files", "list", "files", "List all files of a user, in all folders."),
    _row("files", "ls", "files", "List a folder; / lists the buckets."),
    _row("files", "info", "files", "Show everything known about a file or folder.", "stat"),
    _row("files", "cat", "files", "Write files to standard output."),
    _row("files", "head", "files", "Show the beginning of files, or of what comes through a pipe."),
    _row("writing", "touch", "files", "Make empty files; give those that are there the present time."),
    _row("writing", "append", "files",
         "Put bytes behind the end of a file, atomically, however many append at once; make it when it is missing."),
    _row("writing", "edit", "files", "Edit a file in your editor, and store it when you leave."),
    _row("folders", "pwd", "folders", "Show the present remote folder."),
    _row("folders", "cd", "folders", "Change the present remote folder; without a path, go home."),
    _row("folders", "mkdir", "folders", "Make folders; with a single name below /, a bucket."),
    _row("folders", "rmdir", "folders", "Remove empty folders."),
    _row("folders", "mv", "folders", "Move or rename files and folders."),
    _row("folders", "cp", "folders", "Copy files and, with -r, folders."),
    _row("search", "search", "files",
         "Find files and folders anywhere by words or patterns of their names, tag, type, owner, size and time."),
    _row("search", "find", "folders",
         "Walk folders and show what passes all tests, whole paths, each folder before what is in it."),
    _row("trees", "tree", "folders", "Show a folder as a tree."),
    _row("trees", "du", "folders", "Show what folders take: bytes, files, path."),
    _row("trees", "diff", "folders",
         "Show what was added (+), removed (-) and changed (~) below a folder between two moments."),
    _row("sync", "push", "sync", "Send what changed in a local file or folder to its remote place."),
    _row("sync", "pull", "sync", "Fetch what changed at the remote place of a local file or folder."),
    _row("sync", "import", "sync",
         "Bring a local file or folder in, to exactly that remote path; only what is not there yet is sent."),
    _row("sync", "export", "sync",
         "Bring a remote file or folder out, to exactly that local path; only what is not there yet is fetched."),
    _row("sync", "sync", "sync", "Make a local folder and its remote place the same, both ways."),
    _row("safety", "versions", "safety", "Show the versions of a file that are kept."),
    _row("safety", "restore", "safety",
         "Bring an older version of a file back, as a new version; or a folder as it was at a time."),
    _row("safety", "trash", "safety", "Show the trash, or empty it."),
    _row("safety", "undelete", "safety", "Bring a deleted file or folder back."),
    _row("safety", "lock", "safety", "Lock a file, or a folder with all in it, against other writers."),
    _row("safety", "unlock", "safety",
         "Give a lock back: by the path, when it was taken in this session or on this machine, or by its token."),
    _row("safety", "locks", "safety", "Show who holds which locks."),
    _row("safety", "tag", "safety", "Show or change the tags of files; their bytes stay."),
    _row("safety", "share", "safety",
         "Make a link that lets anybody who has it download one file, without a login, until its time ends."),
    _row("verify", "verify", "safety",
         "Read files and check every byte against the cluster's hashes; folders with all in them."),
    _row("people", "login", "people", "Become a user, by password, and stay it on this machine until 'logout'."),
    _row("people", "logout", "people",
         "End the login that is stored on this machine; its token stops working at once."),
    _row("people", "whoami", "people", "Show who you are here, and what you may use."),
    _row("people", "password", "people", "Change your password."),
    _row("people", "users", "people", "Show users, and for admins: add, change, remove them."),
    _row("people", "grant", "people", "Let somebody read, write or administer a bucket; without a user, show who may."),
    _row("people", "revoke", "people", "Take back what was granted."),
    _row("people", "token", "people", "Show, make and revoke tokens: passwords for programs."),
    _row("people", "quota", "people",
         "Show what a user or bucket uses and may use; with --bytes or --files, set that."),
    _row("people", "buckets", "people", "Show buckets and their rules, and change them."),
    _row("people", "audit", "people", "Show the audit log, latest first: changes of rights, and what was refused."),
    _row("keys", "key", "people", "Show, make and end key pairs: credentials for programs that speak S3."),
    _row("cluster", "status", "cluster", "Show the state of the cluster: leader, nodes, files, missing copies."),
    _row("cluster", "nodes", "cluster", "Show the nodes of the cluster."),
    _row("cluster", "peer", "cluster", "Show or switch the peer that is asked first."),
    _row("cluster", "checkpoint", "cluster", "Make a checkpoint of the metadata now."),
    _row("cluster", "watch", "cluster", "Follow the changes of files and folders as they happen."),
    _row("keepers", "repair", "cluster",
         "Say how much repair may take from disks and wires, on all nodes, from now on."),
    _row("keepers", "quarantine", "cluster", "Show bad copies that the nodes have set aside."),
    _row("members", "drain", "cluster", "Empty a node before it leaves: its copies go to the others."),
    _row("members", "remove", "cluster", "End the membership of a node that was emptied, or is dead for good."),
    _row("members", "recover", "cluster", "Give back to a node what it lost, or let a new disk take its place."),
    _row("jobs", "jobs", "cluster", "Show repairs and other background work: queues, steals, rate and time left."),
    _row("jobs", "scrub", "cluster", "Check all stored bytes now; `jobs` shows how far it is."),
    _row("doctor", "explain", "cluster",
         "Say where each copy of a file is, why there, and what is pending; or all about one job."),
    _row("doctor", "doctor", "cluster", "Say what is wrong with the cluster and what to do about it."),
    _row("bench", "bench", "cluster",
         "Measure how fast the cluster is from here: PUT, GET, small files, listing, search."),
    _row("admin", "admin", "cluster", "Look after the cluster: backups, disasters, restarts."),
    _row("federation", "clusters", "federation", "Show the clusters that the supernode has joined."),
    _row("federation", "mirrors", "federation", "Show the buckets that are kept in another cluster."),
    _row("federation", "use", "federation", "Go to another cluster, as whoever you are there."),
    _row("federation", "catalog", "federation",
         "List a folder of any cluster as the supernode knows it, also of one that is away."),
    _row("help", "help", "session", "Show all commands, or one with its options and examples."),
    _row("help", "exit", "session", "Leave the session.", "quit"),
)
