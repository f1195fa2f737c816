// A real Forward-protocol server, from the npm package @fluent-org/logger, that keeps what it receives.
//
// Usage: node fluent_server.js --output FILE [--port PORT] [--shared-key KEY --hostname NAME
//        [--user NAME --password PASSWORD]]
//
// Prints "listening PORT", then appends to FILE one JSON line per entry:
//   {"tag": ..., "time": nanoseconds since the epoch, "event_time": true if sent as EventTime, "record": {...}}
"use strict";

const fs = require("node:fs");
const { parseArgs } = require("node:util");
const { FluentServer } = require("@fluent-org/logger");

// The first byte of the message {"ack": chunk} in MessagePack.
const MAP_WITH_ONE_ENTRY = 0x81;

class RecordingServer extends FluentServer {
  constructor(output, options) {
    super(options);
    this.output = fs.openSync(output, "a");
  }

  handleConnection(socket) {
    // Without a listener, a reset connection would end the process.
    socket.on("error", () => {});
    // The package sends the acknowledgement before it hands out the entries. Hold it back until they are in the file, so
    // that a server killed in between has not acknowledged what it lost. The other messages, which are arrays, must not
    // wait: after a refusal the socket is destroyed at once.
    const write = socket.write;
    socket.write = (message, ...rest) => {
      if (message[0] === MAP_WITH_ONE_ENTRY) {
        socket.cork();
        setImmediate(() => socket.uncork());
      }
      return write.call(socket, message, ...rest);
    };
    return super.handleConnection(socket);
  }

  onEntry(tag, time, record) {
    const eventTime = typeof time !== "number";
    // A JavaScript number cannot hold nanoseconds since the epoch.
    const [seconds, fraction] = eventTime ? [time.epoch, time.nano] : [time, 0];
    const nanoseconds = BigInt(seconds) * 1_000_000_000n + BigInt(fraction);
    const [tagText, recordText] = [tag, record].map((value) => JSON.stringify(value));
    fs.writeSync(
      this.output,
      `{"tag": ${tagText}, "time": ${nanoseconds}, "event_time": ${eventTime}, "record": ${recordText}}\n`,
    );
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      output: { type: "string" },
      port: { type: "string", default: "0" },
      "shared-key": { type: "string" },
      hostname: { type: "string", default: "fluent-server" },
      user: { type: "string" },
      password: { type: "string" },
    },
  });
  const options = { listenOptions: { host: "127.0.0.1", port: Number(values.port) } };
  if (values["shared-key"] !== undefined) {
    options.security = {
      serverHostname: values.hostname,
      sharedKey: values["shared-key"],
      authorize: values.user !== undefined,
      userDict: values.user === undefined ? {} : { [values.user]: values.password },
    };
  }
  const server = new RecordingServer(values.output, options);
  await server.listen();
  console.log(`listening ${server.port}`);
}

main();
