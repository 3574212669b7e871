"""DynamoDB and S3 as the stack uses them, in this process: no server, no socket.

The engines (:mod:`~devkit.emulator.store.dynamodb`, :mod:`~devkit.emulator.store.s3`) take a request as
the wire has it and give the answer; :mod:`~devkit.emulator.store.local` is both behind one address. They
do what AWS documents for the operations the stack uses and refuse the rest by name.
``tests/unit/test_store.py`` holds them against moto with the same random requests.
"""
