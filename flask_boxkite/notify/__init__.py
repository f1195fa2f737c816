"""Messages about changes of verdict, to a webhook or a function of the app: no other infrastructure is needed.

One process of a server judges its models every minute (`notifier`), remembers which conditions hold and which were
told (`episodes`), and sends one message about all that changed.
"""

from flask_boxkite.notify.message import Change, Notification

__all__ = ["Change", "Notification"]
