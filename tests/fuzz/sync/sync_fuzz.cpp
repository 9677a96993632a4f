// SPDX-License-Identifier: Apache-2.0
// What a server may say to an agent: the input is cut into messages (two bytes of length each),
// parsed as gRPC would and given to a Session. Whatever it says, the updates that come out must be
// usable, and a delete be of something that was there.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "agent/sync/session.h"
#include "base/result.h"

namespace {

void take(const margay::sync::Session::Effects& effects, std::set<std::string>& keys) {
  for (const auto& u : effects.updates) {
    MARGAY_ASSERT(!u.key.empty() && u.key.size() <= 4096);
    if (u.deleted) {
      MARGAY_ASSERT(u.value.empty());
      MARGAY_ASSERT(keys.erase(u.key) == 1);
    } else {
      keys.insert(u.key);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace margay::sync;
  Session session;
  std::set<std::string> keys;
  v1::SubscribeRequest request;
  session.connected(&request);
  while (size >= 2) {
    std::size_t length = data[0] + 256U * data[1];
    data += 2;
    size -= 2;
    length = length < size ? length : size;
    v1::SyncMessage message;
    const bool parsed = message.ParseFromArray(data, static_cast<int>(length));
    data += length;
    size -= length;
    if (parsed) {
      if (const auto effects = session.handle(&message)) {
        take(*effects, keys);
        continue;
      }
    }
    session.connected(&request);  // garbage: a new connection, on what is known
  }
  MARGAY_ASSERT(session.merger().keys() == keys.size());
  return 0;
}
