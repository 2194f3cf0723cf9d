// One client's life: node client.mjs URL DATABASE
//
// Prints what happens as one JSON object a line, and waits for a line on standard input where the other side has to do
// something. Ends with 0 when everything happened, and with 1 and a word on standard error when something did not.

import readline from 'node:readline/promises';
import { DbConnection } from './bindings.mjs';

const [url, database] = process.argv.slice(2);
const DEADLINE_MS = 30_000;

const say = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let disconnects = 0;

const late = setTimeout(() => {
  console.error('not in time');
  process.exit(1);
}, DEADLINE_MS);

/** Connects, with the token of an earlier connection if there is one. */
function connect(token) {
  return new Promise((resolve, reject) => {
    DbConnection.builder()
      .withUri(url)
      .withDatabaseName(database)
      .withToken(token)
      .onConnect((connection, identity, token) => resolve({ connection, identity: identity.toHexString(), token }))
      .onConnectError((_, error) => reject(error))
      .onDisconnect(() => disconnects++)
      .build();
  });
}

/** Subscribes to everything, and resolves once the rows are there. */
function subscribe(connection) {
  return new Promise((resolve, reject) => {
    connection
      .subscriptionBuilder()
      .onApplied(() => resolve())
      .onError(context => reject(context.event))
      .subscribe([
        'SELECT * FROM person',
        'SELECT * FROM active_connection',
        'SELECT * FROM presence_summary',
        'SELECT * FROM contract_info',
      ]);
  });
}

/** The message with which a reducer refuses. */
const refusal = call => call.then(() => null, error => error.message);

/** Resolves with the name of a row that comes or changes. */
const nextName = ({ person }) =>
  new Promise(resolve => {
    person.onInsert((_, row) => resolve(row.name));
    person.onUpdate((_, _old, row) => resolve(row.name));
  });

const first = await connect();
await subscribe(first.connection);
const { db, reducers } = first.connection;
const [contract] = [...db.contractInfo.iter()];
const mine = [...db.activeConnection.iter()].filter(row => row.identity.toHexString() === first.identity);
say('subscribed', {
  identity: first.identity,
  people: [...db.person.iter()].length,
  protocol: contract.protocolId,
  connections: mine.map(row => row.connectionId.toHexString()),
});

const name = nextName(db);
await reducers.setName({ name: 'Ada' });
say('named', { name: await name });
say('refused', { message: await refusal(reducers.setName({ name: ' ' })) });

await input.next(); // The module is another one now.
const renamed = nextName(db);
const message = await refusal(reducers.setName({ name: ' ' }));
await reducers.setName({ name: 'Ada Lovelace' });
say('swapped', { message, name: await renamed, disconnects });

first.connection.disconnect();
const again = await connect(first.token);
await subscribe(again.connection);
const [person] = [...again.connection.db.person.iter()];
say('reconnected', { identity: again.identity, name: person.name, of: person.identity.toHexString() });

await input.next(); // The other side has looked who is connected.
again.connection.disconnect();
say('done');
clearTimeout(late);
process.exit(0);
