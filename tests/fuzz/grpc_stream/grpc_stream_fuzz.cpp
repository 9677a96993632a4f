// SPDX-License-Identifier: Apache-2.0
// What a server may say to a GrpcStream, in pieces (a byte of length before each; its top bit: ask
// for messages after it). Whatever it says, messages and what is held of them stay bounded.
#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "proto/grpc_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using margay::transport::GrpcStream;
  GrpcStream stream({"https", "server", "/margay.sync.v1.Sync/Subscribe", "request"});
  (void)stream.take_output();
  while (size > 1) {
    const bool ask = (data[0] & 0x80) != 0;
    std::size_t length = data[0] & 0x7f;
    ++data;
    --size;
    length = length < size ? length : size;
    const auto r = stream.receive({reinterpret_cast<const char*>(data), length});
    data += length;
    size -= length;
    for (int i = 0; ask && i < 1000; ++i) {
      const auto m = stream.next();
      if (!m) break;
      MARGAY_ASSERT(m->size() <= GrpcStream::kMaxMessage);
    }
    MARGAY_ASSERT(stream.take_output().size() < 1U << 20);
    if (!r.ok()) break;
  }
  return 0;
}
