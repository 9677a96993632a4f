// SPDX-License-Identifier: Apache-2.0
#include "proto/grpc_stream.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "proto/grpc_status.h"

namespace margay::transport {
namespace {

constexpr std::size_t kPrefix = 5;  // of each message: compressed or not, and its length

std::string framed(const std::string& message) {
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(message.size() >> shift & 0xff));
  }
  return out + message;
}

std::size_t length_of(const char* prefix) {
  std::size_t out = 0;
  for (std::size_t i = 1; i < kPrefix; ++i) out = out << 8 | static_cast<unsigned char>(prefix[i]);
  return out;
}

int number(std::string_view text, int otherwise) {
  int out = otherwise;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), out);
  return r.ec == std::errc() && r.ptr == text.data() + text.size() ? out : otherwise;
}

// As grpc-message is written; what is not percent-encoding stands for itself.
std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const bool encoded = text[i] == '%' && i + 2 < text.size() &&
                         std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr ==
                             text.data() + i + 3;
    out.push_back(encoded ? static_cast<char>(byte) : text[i]);
    if (encoded) i += 2;
  }
  return out;
}

// What an HTTP status means where the server gives no status of gRPC's (http-grpc-status-mapping).
int status_of_http(int http) {
  switch (http) {
    case 401:
      return grpc_status::kUnauthenticated;
    case 403:
      return grpc_status::kPermissionDenied;
    case 404:
      return grpc_status::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return grpc_status::kUnavailable;
    default:
      return grpc_status::kUnknown;
  }
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view s) {  // nghttp2 does not write to it
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(s.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

struct GrpcStream::Impl {
  std::unique_ptr<nghttp2_session, void (*)(nghttp2_session*)> session{nullptr,
                                                                       &nghttp2_session_del};
  std::int32_t id = 0;
  std::string request;  // what is left to be sent of it
  std::string unsent;
  std::string received;  // not yet taken from `begin` on
  std::size_t begin = 0;
  std::size_t unread = 0;  // of `received`: bytes of which the server's window knows nothing yet
  int http = 0;
  std::optional<int> status;
  std::string text;
  std::optional<End> end;

  // Our greeting, and who is told what of the server's frames.
  void open() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
           const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* self) {
          of(self).on_header(text_of(name, name_size), text_of(value, value_size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* data,
                      std::size_t size, void* self) {
          of(self).on_data(text_of(data, size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t, std::uint32_t code, void* self) {
          of(self).on_close(code);
          return 0;
        });
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session* made = nullptr;
    nghttp2_session_client_new2(&made, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    MARGAY_ASSERT(made != nullptr);
    session.reset(made);
    const std::array<nghttp2_settings_entry, 2> settings{
        {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<std::uint32_t>(kWindow)}}};
    nghttp2_submit_settings(made, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(made, NGHTTP2_FLAG_NONE, 0, kWindow);
  }

  void submit(const Call& call) {
    const std::array headers{
        header(":method", "POST"),     header(":scheme", call.scheme),
        header(":path", call.path),    header(":authority", call.authority),
        header("te", "trailers"),      header("content-type", "application/grpc"),
        header("user-agent", "margay")};
    nghttp2_data_provider body{};
    body.source.ptr = this;
    body.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* into, std::size_t size,
                            std::uint32_t* flags, nghttp2_data_source* source, void*) {
      std::string& rest = of(source->ptr).request;
      size = std::min(size, rest.size());
      std::memcpy(into, rest.data(), size);
      rest.erase(0, size);
      if (rest.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(size);
    };
    id = nghttp2_submit_request(session.get(), nullptr, headers.data(), headers.size(), &body,
                                nullptr);
  }

  static Impl& of(void* self) { return *static_cast<Impl*>(self); }
  static std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
  }

  void give_up(const std::string& why) {
    end = End{grpc_status::kInternal, "the server has sent " + why};
    received.clear();
    begin = unread = 0;
  }
  void on_header(std::string_view name, std::string_view value) {
    if (name == ":status") http = number(value, 0);
    if (name == "grpc-status") status = number(value, grpc_status::kUnknown);
    if (name == "grpc-message") text = decoded(value);
  }
  void on_data(std::string_view bytes) {
    if (end) return;
    received += bytes;
    unread += bytes.size();
  }
  void on_close(std::uint32_t code) {
    if (end) return;
    if (status == grpc_status::kOk) {
      end = End{*status, "the server has ended the stream"};
    } else if (status) {
      end = End{*status, std::move(text)};
    } else if (http != 0 && http != 200) {
      end = End{status_of_http(http), "HTTP status " + std::to_string(http)};
    } else {
      end = End{grpc_status::kUnavailable,
                std::string("the server has ended the call: ") + nghttp2_http2_strerror(code)};
    }
  }
  void collect() {
    const std::uint8_t* data = nullptr;
    for (;;) {
      const auto n = nghttp2_session_mem_send(session.get(), &data);
      if (n <= 0) return;
      unsent += text_of(data, static_cast<std::size_t>(n));
    }
  }
  void consume(std::size_t bytes) {
    bytes = std::min(bytes, unread);
    unread -= bytes;
    if (bytes != 0) nghttp2_session_consume(session.get(), id, bytes);
  }
};

GrpcStream::GrpcStream(const Call& call) : impl_(std::make_unique<Impl>()) {
  impl_->request = framed(call.request);
  impl_->open();
  impl_->submit(call);
}
GrpcStream::GrpcStream(GrpcStream&&) noexcept = default;
GrpcStream& GrpcStream::operator=(GrpcStream&&) noexcept = default;
GrpcStream::~GrpcStream() = default;

Result<void> GrpcStream::receive(std::string_view bytes) {
  const auto n = nghttp2_session_mem_recv(
      impl_->session.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (n < 0) {
    return make_error(Code::invalid,
                      std::string("not HTTP/2: ") + nghttp2_strerror(static_cast<int>(n)));
  }
  // What breaks the rules makes nghttp2 end the connection, once it has told the server why.
  impl_->collect();
  if (!impl_->end && nghttp2_session_want_read(impl_->session.get()) == 0) {
    return make_error(Code::invalid, "the server breaks the rules of HTTP/2, or does not speak it");
  }
  return {};
}

std::string GrpcStream::take_output() {
  impl_->collect();
  return std::exchange(impl_->unsent, {});
}

std::optional<std::string_view> GrpcStream::next() {
  Impl& i = *impl_;
  // A server that is always ahead of us must not make this grow without end.
  if (i.begin >= static_cast<std::size_t>(kWindow)) i.received.erase(0, std::exchange(i.begin, 0));
  const std::size_t held = i.received.size() - i.begin;
  const std::size_t size = held < kPrefix ? 0 : length_of(i.received.data() + i.begin);
  if (held < kPrefix || held - kPrefix < size) {
    i.received.erase(0, std::exchange(i.begin, 0));
    i.consume(i.unread);  // the rest of the message may be longer than the window
    if (size > kMaxMessage) i.give_up("a message of " + std::to_string(size) + " bytes");
    return std::nullopt;
  }
  if (i.received[i.begin] != 0) {
    i.give_up("a compressed message");
    return std::nullopt;
  }
  const std::string_view message(i.received.data() + i.begin + kPrefix, size);
  i.begin += kPrefix + size;
  i.consume(kPrefix + size);
  return message;
}

const std::optional<GrpcStream::End>& GrpcStream::end() const { return impl_->end; }

}  // namespace margay::transport
