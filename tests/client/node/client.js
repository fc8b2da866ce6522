'use strict';
// A client of omd for Node.js: what a program in another language needs is in the protos alone.
//
//   NODE_PATH=$(tests/client/node/install.sh) node client.js SOCKET COMMAND [JSON]
//   NODE_PATH=$(tests/client/node/install.sh) node client.js HOST:PORT COMMAND {"tls": ..., ...}
//
// Over TCP `tls` is {authority, certificate, key, token}: names of files, the last with a bearer token;
// only the authority must be there.
//
// Prints one JSON document a line: messages, and at the end {"status": "OK"} or how the call ended.
//   status    {selector}                    the state
//   whoami    {}                            whom the daemon takes us for
//   action    {path, words, detach, cancelAt}  runs it; cancels once the output has that text
//   logs      {path, cursor, until}         follows, over restarts of the daemon, up to that line
//   events    {ids, until, resumeToken}     the same for events, up to that id

const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const PROTOS = path.join(__dirname, '..', '..', '..', 'proto');
// Waits between attempts to reach a daemon that went away.
const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 1000;

const files = ['action', 'auth', 'daemon', 'event', 'log'].map((name) => `om/control/v1/${name}.proto`);
const api = grpc.loadPackageDefinition(loader.loadSync(files, {
  includeDirs: [PROTOS], longs: String, enums: String, oneofs: true,
})).om.control.v1;

function print(value) {
  const text = (key, field) => (field && field.type === 'Buffer' ? Buffer.from(field.data).toString() : field);
  process.stdout.write(`${JSON.stringify(value, text)}\n`);
}

function credentialsOf(tls) {
  const read = (file) => (file ? fs.readFileSync(file) : null);
  const channel = grpc.credentials.createSsl(read(tls.authority), read(tls.key), read(tls.certificate));
  if (!tls.token) return channel;
  const token = fs.readFileSync(tls.token, 'utf8').trim();
  return grpc.credentials.combineChannelCredentials(
    channel,
    grpc.credentials.createFromMetadataGenerator((_, done) => {
      const metadata = new grpc.Metadata();
      metadata.set('authorization', `Bearer ${token}`);
      done(null, metadata);
    }),
  );
}

function open(service, address, { tls }) {
  const target = tls ? `dns:${address}` : `unix:${address}`;
  return new service(target, tls ? credentialsOf(tls) : grpc.credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': FIRST_DELAY_MS,
    'grpc.max_reconnect_backoff_ms': LONGEST_DELAY_MS,
  });
}

// Ends with the code by which the call ended; a response is printed.
function callOnce(client, method, request) {
  return new Promise((resolve) => {
    client[method](request, (error, response) => {
      if (response) print(response);
      resolve(error ? { code: error.code, details: error.details } : { code: grpc.status.OK });
    });
  });
}

// Ends with the code by which a stream ended. `onMessage` gets each message and the call.
function read(call, onMessage) {
  return new Promise((resolve) => {
    call.on('data', (message) => onMessage(message, call));
    call.on('error', (error) => resolve({ code: error.code, details: error.details }));
    call.on('end', () => resolve({ code: grpc.status.OK, details: '' }));
  });
}

// Opens streams one after the other until `openStream` says, by returning nothing, that it is done.
// `mend` may make another attempt sensible after an error.
async function resume(openStream, onMessage, mend = () => false) {
  let delay = FIRST_DELAY_MS;
  for (;;) {
    const call = openStream();
    if (call === null) return { code: grpc.status.OK, details: '' };
    const end = await read(call, (message) => {
      delay = FIRST_DELAY_MS;
      onMessage(message, call);
    });
    const gone = [grpc.status.UNAVAILABLE, grpc.status.OK, grpc.status.CANCELLED];
    if (!gone.includes(end.code) && !mend(end)) return end;
    await new Promise((resolve) => setTimeout(resolve, delay));
    delay = Math.min(delay * 2, LONGEST_DELAY_MS);
  }
}

const commands = {
  status(socket, options) {
    const client = open(api.DaemonService, socket, options);
    return callOnce(client, 'GetStatus', { selector: options.selector || '' });
  },

  whoami(socket, options) {
    return callOnce(open(api.AuthService, socket, options), 'WhoAmI', {});
  },

  action(socket, options) {
    const client = open(api.ActionService, socket, options);
    let output = '';
    const request = {
      command: { path: options.path || '', arguments: options.words.map((word) => Buffer.from(word)) },
      detach: Boolean(options.detach),
    };
    return read(client.StreamAction(request), (message, call) => {
      if (message.kind === 'heartbeat') return;
      print(message);
      if (message.kind === 'output') output += message.output.data.toString();
      if (options.cancelAt && output.includes(options.cancelAt)) call.cancel();
    });
  },

  logs(socket, options) {
    const client = open(api.LogService, socket, options);
    let cursor = options.cursor || '';
    let done = false;
    return resume(() => {
      if (done) return null;
      const start = cursor ? { cursor } : { wholeFile: true };
      return client.ReadLog({ path: options.path || '', follow: true, ...start });
    }, (message, call) => {
      if (message.cursor) ({ cursor } = message);
      if (message.gap) print({ gap: true });
      if (message.caughtUp) print({ caughtUp: true });
      for (const entry of message.entries) {
        print(entry);
        if (entry.message.toString().includes(options.until)) done = true;
      }
      if (done) call.cancel();
    });
  },

  events(socket, options) {
    const client = open(api.EventService, socket, options);
    let resumeToken = options.resumeToken || '';
    let done = false;
    return resume(
      () => (done ? null : client.WatchEvents({ resumeToken, ids: options.ids || [] })),
      (message, call) => {
        if (message.resumeToken) ({ resumeToken } = message);
        print(message);
        done = done || message.events.some((event) => event.id === options.until);
        if (done) call.cancel();
      },
      (end) => {
        // A daemon that started anew does not know what was missed.
        if (end.code !== grpc.status.OUT_OF_RANGE || !resumeToken) return false;
        resumeToken = '';
        print({ gap: end.details });
        return true;
      },
    );
  },
};

async function main() {
  const [socket, command, text] = process.argv.slice(2);
  const end = await commands[command](socket, JSON.parse(text || '{}'));
  print({ status: grpc.status[end.code], details: end.details });
  process.exitCode = end.code === grpc.status.OK ? 0 : 1;
  // Channels that stay open would keep the process.
  process.stdout.write('', () => process.exit());
}

main();
