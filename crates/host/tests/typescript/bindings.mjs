// Bindings for Muster's module, as SpacetimeDB's generator would write them, made by hand with the SDK's own builders.
// What counts is the order of the columns and their types: rows carry no names. They are those of module/src.

import {
  DbConnectionBuilder,
  DbConnectionImpl,
  procedures,
  reducers,
  reducerSchema,
  schema,
  table,
  t,
} from 'spacetimedb';

const RoleCount = t.object('RoleCount', { role: t.string(), count: t.u32() });

const tables = schema({
  person: table({ name: 'person', public: true }, {
    identity: t.identity().primaryKey(),
    name: t.string(),
    seenBy: t.u8(),
  }),
  activeConnection: table({ name: 'active_connection', public: true }, {
    connectionId: t.connectionId().primaryKey(),
    identity: t.identity().index('btree'),
    role: t.string(),
    clientId: t.option(t.string()),
    clientBuild: t.option(t.string()),
    connectedAt: t.timestamp(),
    seenBy: t.u8(),
  }),
  presenceSummary: table({ name: 'presence_summary', public: true }, {
    id: t.u8().primaryKey(),
    total: t.u32(),
    byRole: t.array(RoleCount),
    countedAt: t.timestamp(),
  }),
  contractInfo: table({ name: 'contract_info', public: true }, {
    id: t.u8().primaryKey(),
    protocolId: t.string(),
    schemaVersion: t.u32(),
    moduleVersion: t.string(),
    oldestSchemaVersion: t.u32(),
    oldestClientBuild: t.string(),
  }),
});

const REMOTE_MODULE = {
  versionInfo: { cliVersion: '2.10.1' },
  tables: tables.schemaType.tables,
  reducers: reducers(reducerSchema('set_name', { name: t.string() })).reducersType.reducers,
  ...procedures(),
};

/** A connection to Muster's module. */
export class DbConnection extends DbConnectionImpl {
  static builder = () => new DbConnectionBuilder(REMOTE_MODULE, config => new DbConnection(config));
}
