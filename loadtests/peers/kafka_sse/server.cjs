// node server.cjs PORT BROKERS: what KafkaSSE's own documentation shows, with EventStreams' log level.
'use strict';

const http = require('http');
const bunyan = require('bunyan');
const kafkaSse = require('kafka-sse');

const [port, brokers] = process.argv.slice(2);
const options = {
    kafkaConfig: { 'metadata.broker.list': brokers },
    logger: bunyan.createLogger({ name: 'kafka-sse', level: 'warn' }),
};

http.createServer((request, response) => {
    if (request.url === '/healthz') return response.end();
    return kafkaSse(request, response, request.url.slice(1).split(','), options);
}).listen(Number(port), '127.0.0.1');
