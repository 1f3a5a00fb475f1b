from fluffy.client.rebuild.restore import Restored as Restored
from fluffy.client.rebuild.restore import abandon as abandon
from fluffy.client.rebuild.restore import restore_backup as restore_backup
from fluffy.client.rebuild.restore import restore_from_storage as restore_from_storage
from fluffy.client.rebuild.sending import OnProgress as OnProgress
from fluffy.client.verbs.disaster_steps import Rebuilder as Rebuilder
