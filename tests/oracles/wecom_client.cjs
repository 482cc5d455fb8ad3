// A bot of the official @wecom/aibot-node-sdk: `node wecom_client.cjs MODULES ws://host:port/ bot_id secret`.
// The SDK is untouched; the socket's address is an option of its own. It does what wecom_client.py does.
const { createHash, randomBytes } = require('crypto');
const [modules, wsUrl, botId, secret] = process.argv.slice(2);
const { WSClient } = require(`${modules}/@wecom/aibot-node-sdk`);

const tell = (what, fields = {}) => console.log(JSON.stringify({ what, ...fields }));
const client = new WSClient({
  botId, secret, wsUrl, heartbeatInterval: 2000, reconnectInterval: 100, maxReconnectAttempts: -1,
});

client.on('authenticated', () => tell('authenticated'));
client.on('error', (error) => tell('error', { why: String(error) }));

client.on('message.text', async (frame) => {
  const body = frame.body;
  const text = body.text.content.replace(/^@Robot /, '');
  if (text === 'push') {
    const chat = body.chatid || body.from.userid;
    await client.sendMessage(chat, { msgtype: 'markdown', markdown: { content: 'pushed' } });
  } else if (text === 'upload') {
    const done = await client.uploadMedia(randomBytes(1200000), { type: 'file', filename: 'data.bin' });
    await client.replyMedia(frame, 'file', done.media_id);
  } else {
    const stream = `s-${body.msgid}`;
    for (const piece of ['re', 're:', `re: ${text.slice(0, 2)}`]) {
      await client.replyStream(frame, stream, piece, false);
    }
    await client.replyStream(frame, stream, `re: ${text}`, true);
  }
});

client.on('message.image', async (frame) => {
  const { url, aeskey } = frame.body.image;
  const { buffer, filename } = await client.downloadFile(url, aeskey);
  const md5 = createHash('md5').update(buffer).digest('hex');
  await client.replyStream(frame, 'picture', `${filename} ${md5}`, true);
});

client.on('event.enter_chat', (frame) =>
  client.replyWelcome(frame, { msgtype: 'text', text: { content: 'welcome' } }));

// A drop rejects the replies that wait for an answer; a bot has to live with that.
process.on('unhandledRejection', (error) => tell('dropped', { why: String(error) }));
client.connect();
