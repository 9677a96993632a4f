// SPDX-License-Identifier: Apache-2.0
// A Source whose server says what no typha would: bytes that are no message, messages in the wrong
// order, messages without end.
#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <mutex>

#include "agent/sync/source.h"
#include "base/net/tcp.h"
#include "margay/sync.grpc.pb.h"
#include "receiver.h"
#include "tests/support/run_until.h"
#include "typha/frame.h"

namespace margay::sync {
namespace {

using namespace std::chrono_literals;
using typha::Kind;

// Sends the script's next row to each client and ends the call.
class Script final : public v1::Sync::WithRawCallbackMethod_Subscribe<v1::Sync::Service> {
 public:
  using Row = std::vector<std::string>;
  explicit Script(std::vector<Row> rows) : rows_(std::move(rows)) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Subscribe(grpc::CallbackServerContext*,
                                                        const grpc::ByteBuffer*) override {
    const auto row = std::min<std::size_t>(next_++, rows_.size() - 1);
    return new Call(rows_[row]);
  }

 private:
  class Call final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
   public:
    explicit Call(const Row& row) : row_(row) { go_on(); }
    void OnWriteDone(bool ok) override { ok ? go_on() : Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    void go_on() {
      if (next_ == row_.size()) return Finish(grpc::Status::OK);
      const grpc::Slice slice(row_[next_++]);
      buffer_ = grpc::ByteBuffer(&slice, 1);
      StartWrite(&buffer_);
    }
    const Row& row_;
    std::size_t next_ = 0;
    grpc::ByteBuffer buffer_;
  };
  const std::vector<Row> rows_;
  std::atomic<std::size_t> next_{0};
};

std::string entry(const std::string& key, std::uint64_t revision) {
  return typha::encode_entry({key, "v", false, Revision(revision)})[0];
}
std::string begin(std::uint64_t r = 9) {
  return typha::encode_head(Kind::snapshot_begin, Revision(r), "s");
}
std::string in_sync(std::uint64_t r) { return typha::encode_head(Kind::in_sync, Revision(r), "s"); }
Script::Row good(const std::string& key, std::uint64_t revision) {
  return {begin(revision), typha::encode_head(Kind::snapshot, Revision(0)) + entry(key, revision),
          typha::encode_head(Kind::snapshot_end, Revision(revision)), in_sync(revision)};
}

struct Case {
  const char* name;
  Script::Row row;
};

TEST(HostileServer, garbage_takes_nothing_away_and_the_source_comes_back) {
  std::string noise;
  for (unsigned i = 0; i < 5000; ++i) noise.push_back(static_cast<char>(i * 2654435761U >> 11));
  const Case cases[] = {
      {"noise", {noise}},
      {"noise in a snapshot", {begin(), noise}},
      {"cut message", {begin().substr(0, 3)}},
      {"nothing at all", {}},
      {"empty message", {""}},
      {"delta before a snapshot", {typha::encode_head(Kind::delta, Revision(3)) + entry("/x", 3)}},
      {"snapshot without end", {begin(), in_sync(5)}},
      {"empty snapshot cut short", {begin()}},
      {"message beyond all bounds",
       {begin(), typha::encode_head(Kind::snapshot, Revision(0)) + std::string(8U << 20, '\x22')}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Script script({good("/a", 5), c.row, good("/b", 9)});
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&script);
    const auto server = builder.BuildAndStart();
    AsioLoop loop("client");
    Receiver r;
    {
      TyphaConfig config;
      config.address = "127.0.0.1:" + std::to_string(port);
      config.backoff_min = 1ms;
      config.backoff_max = 5ms;
      const auto source = make_typha_source(loop, config, r.callbacks());
      ASSERT_TRUE(source.ok());
      ASSERT_TRUE(run_until(loop, [&] { return r.in_syncs >= 2; }));
      EXPECT_EQ(r.state.size(), 1U);
      EXPECT_EQ(r.state.count("/b"), 1U);
      // The only delete is the good snapshot's, after its own key had come.
      EXPECT_EQ(std::count(r.notes.begin(), r.notes.end(), "-/a"), 1);
      EXPECT_LT(std::find(r.notes.begin(), r.notes.end(), "+/b"),
                std::find(r.notes.begin(), r.notes.end(), "-/a"));
    }
    server->Shutdown(std::chrono::system_clock::now());
  }
}

struct NoServer {
  const char* name;
  std::string says;
  const char* error;
};

TEST(HostileServer, what_is_no_typha_is_named) {
  const NoServer cases[] = {
      {"closes at once", "", "the server has closed the connection"},
      {"a web server", "HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/2"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    AsioLoop loop("client");
    const auto listener = net::tcp_listen(*Ip::parse("127.0.0.1"), 0);
    ASSERT_TRUE(listener.ok());
    const auto server = loop.readable(listener->get(), [&] {
      const auto connection = net::tcp_accept(listener->get());
      if (!connection.ok()) return;
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(c.says.data());
      (void)net::write_some(connection->get(), {bytes, c.says.size()});
      net::finish_sending(connection->get());
    });
    Receiver r;
    TyphaConfig config;
    config.address = "127.0.0.1:" + std::to_string(net::local_endpoint(listener->get()).port);
    const auto source = make_typha_source(loop, config, r.callbacks());
    ASSERT_TRUE(source.ok());
    const auto told = [&] { return r.status.error.find(c.error) != std::string::npos; };
    EXPECT_TRUE(run_until(loop, told)) << r.status.error;
    EXPECT_THAT(r.status.error, ::testing::StartsWith(config.address + ": "));
  }
}

}  // namespace
}  // namespace margay::sync
