// SPDX-License-Identifier: Apache-2.0
// A GrpcStream against a server's side of HTTP/2 that says what gRPC's server never would.
#include "proto/grpc_stream.h"

#include <gmock/gmock.h>
#include <nghttp2/nghttp2.h>

#include <map>
#include <vector>

namespace margay::transport {
namespace {

using ::testing::HasSubstr;

using Headers = std::vector<std::pair<std::string, std::string>>;

// One answer to one call: headers, data, and trailers if there are any.
class ServerSide {
 public:
  ServerSide() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                      std::uint8_t, void* self) {
          auto& s = *static_cast<ServerSide*>(self);
          s.stream_ = frame->hd.stream_id;
          s.request[std::string(name, name + name_size)] = std::string(value, value + value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* data,
                      std::size_t size, void* self) {
          static_cast<ServerSide*>(self)->body.append(data, data + size);
          return 0;
        });
    nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~ServerSide() { nghttp2_session_del(session_); }
  ServerSide(const ServerSide&) = delete;
  ServerSide& operator=(const ServerSide&) = delete;

  void answer(const Headers& headers, std::string data, Headers trailers = {}) {
    data_ = std::move(data);
    trailers_ = std::move(trailers);
    nghttp2_data_provider provider{};
    provider.source.ptr = this;
    provider.read_callback = [](nghttp2_session* session, std::int32_t stream, std::uint8_t* into,
                                std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                                void*) {
      auto& s = *static_cast<ServerSide*>(source->ptr);
      size = std::min(size, s.data_.size());
      std::copy_n(s.data_.begin(), size, into);
      s.data_.erase(0, size);
      if (!s.data_.empty()) return static_cast<ssize_t>(size);
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!s.ends || !s.trailers_.empty()) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (s.trailers_.empty()) return static_cast<ssize_t>(size);
      const auto fields = raw(s.trailers_);
      nghttp2_submit_trailer(session, stream, fields.data(), fields.size());
      return static_cast<ssize_t>(size);
    };
    const auto fields = raw(headers);
    nghttp2_submit_response(session_, stream_, fields.data(), fields.size(), &provider);
  }
  void reset(std::uint32_t code) { nghttp2_submit_rst_stream(session_, 0, stream_, code); }
  // Carries bytes until neither side has any.
  void talk(GrpcStream& client) {
    for (bool more = true; more;) {
      const std::string out = client.take_output();
      (void)nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(out.data()),
                                     out.size());
      const std::uint8_t* data = nullptr;
      const auto n = nghttp2_session_mem_send(session_, &data);
      more = n > 0 || !out.empty();
      if (n > 0) {
        ASSERT_TRUE(
            client.receive({reinterpret_cast<const char*>(data), static_cast<std::size_t>(n)})
                .ok());
      }
    }
  }
  [[nodiscard]] std::size_t unsent() const { return data_.size(); }

  std::map<std::string, std::string> request;
  std::string body;
  bool ends = true;  // after the data, if there are no trailers

 private:
  static std::vector<nghttp2_nv> raw(const Headers& headers) {
    std::vector<nghttp2_nv> out;
    for (const auto& [name, value] : headers) {
      const auto bytes = [](const std::string& s) {
        return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(s.data()));
      };
      out.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    return out;
  }
  nghttp2_session* session_ = nullptr;
  std::int32_t stream_ = 0;
  std::string data_;
  Headers trailers_;
};

std::string message(const std::string& content, char compressed = 0) {
  std::string out{compressed, static_cast<char>(content.size() >> 24)};
  for (const unsigned shift : {16U, 8U, 0U}) {
    out.push_back(static_cast<char>(content.size() >> shift & 0xff));
  }
  return out + content;
}

const Headers kGood{{":status", "200"}, {"content-type", "application/grpc"}};

struct Pair {
  GrpcStream client{{"http", "server.example", "/a.B/C", "please"}};
  ServerSide server;
  Pair() { server.talk(client); }
  void answer(const Headers& headers, std::string data, Headers trailers = {}) {
    server.answer(headers, std::move(data), std::move(trailers));
    server.talk(client);
  }
};

TEST(GrpcStreamTest, asks_as_grpc_does) {
  Pair p;
  EXPECT_EQ(p.server.request[":method"], "POST");
  EXPECT_EQ(p.server.request[":path"], "/a.B/C");
  EXPECT_EQ(p.server.request[":authority"], "server.example");
  EXPECT_EQ(p.server.request["content-type"], "application/grpc");
  EXPECT_EQ(p.server.request["te"], "trailers");
  EXPECT_EQ(p.server.body, message("please"));
}

TEST(GrpcStreamTest, gives_messages_and_then_the_status) {
  Pair p;
  p.answer(kGood, message("one") + message("") + message("three"),
           {{"grpc-status", "9"}, {"grpc-message", "older %3c%20%zz than%2"}});
  EXPECT_EQ(p.client.next(), "one");
  EXPECT_EQ(p.client.next(), "");
  EXPECT_EQ(p.client.next(), "three");
  EXPECT_FALSE(p.client.next());
  ASSERT_TRUE(p.client.end());
  EXPECT_EQ(p.client.end()->status, 9);
  EXPECT_EQ(p.client.end()->text, "older < %zz than%2");
}

TEST(GrpcStreamTest, a_message_may_be_longer_than_the_window) {
  Pair p;
  const std::string large(3U << 20, 'x');
  p.answer(kGood, message(large));
  while (p.server.unsent() != 0) {
    ASSERT_FALSE(p.client.next());
    p.server.talk(p.client);
  }
  EXPECT_EQ(p.client.next(), large);
}

TEST(GrpcStreamTest, who_does_not_ask_stops_the_server) {
  Pair p;
  std::string many;
  while (many.size() < 4U << 20) many += message(std::string(1000, 'x'));
  const std::size_t all = many.size();
  p.answer(kGood, many);
  const std::size_t sent = all - p.server.unsent();
  EXPECT_LE(sent, static_cast<std::size_t>(GrpcStream::kWindow));
  EXPECT_GT(sent, 0U);
  std::size_t got = 0;
  for (int rounds = 0; rounds < 1000 && got < all; ++rounds) {
    while (const auto m = p.client.next()) got += m->size() + 5;
    p.server.talk(p.client);
  }
  EXPECT_EQ(got, all);
}

struct BadCase {
  const char* name;
  Headers headers;
  std::string data;
  int status;
  const char* text;
};

TEST(GrpcStreamTest, what_cannot_be_used_ends_the_call_with_a_reason) {
  const BadCase cases[] = {
      {"a proxy",
       {{":status", "503"}, {"content-type", "text/html"}},
       "<p>",
       14,
       "HTTP status 503"},
      {"no such path", {{":status", "404"}}, "", 12, "HTTP status 404"},
      {"no status", kGood, "", 14, "ended the call"},
      {"compressed", kGood, message("x", 1), 13, "compressed"},
      {"endless", kGood, std::string("\0\x7f\xff\xff\xff", 5), 13, "2147483647 bytes"},
      {"a status that is none", {{":status", "200"}, {"grpc-status", "x"}}, "", 2, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Pair p;
    p.answer(c.headers, c.data);
    EXPECT_FALSE(p.client.next());
    ASSERT_TRUE(p.client.end());
    EXPECT_EQ(p.client.end()->status, c.status);
    EXPECT_THAT(p.client.end()->text, HasSubstr(c.text));
  }
}

TEST(GrpcStreamTest, a_reset_ends_the_call) {
  Pair p;
  p.server.ends = false;
  p.answer(kGood, message("one"));
  EXPECT_FALSE(p.client.end());
  p.server.reset(NGHTTP2_REFUSED_STREAM);
  p.server.talk(p.client);
  EXPECT_EQ(p.client.next(), "one");
  ASSERT_TRUE(p.client.end());
  EXPECT_EQ(p.client.end()->status, 14);
  EXPECT_THAT(p.client.end()->text, HasSubstr("REFUSED_STREAM"));
}

TEST(GrpcStreamTest, noise_is_no_http2) {
  Pair p;
  const auto r = p.client.receive("HTTP/1.1 400 Bad Request\r\n\r\n");
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, Code::invalid);
}

}  // namespace
}  // namespace margay::transport
