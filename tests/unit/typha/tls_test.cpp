// SPDX-License-Identifier: Apache-2.0
// Who may talk to whom: mutual TLS between a real server and real clients, with certificates made
// on the spot.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>

#include "agent/sync/source.h"
#include "datastore/remote/remote_store.h"
#include "proto/tls_keeper.h"
#include "tests/support/certificates.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"
#include "tests/support/typha_fixture.h"

namespace margay::typha {
namespace {

using namespace std::chrono_literals;
using transport::TlsFiles;

// One set of certificates for all cases: making them takes most of the time.
class TlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    certificates_ = new Certificates(*dir_);
    certificates_->make_ca("ca");
    certificates_->make_ca("other-ca");
    certificates_->make("server", "ca", "calico-typha");
    certificates_->make("client", "ca", "calico-node");
    certificates_->make("stranger", "other-ca", "calico-node");
    certificates_->make("expired", "ca", "calico-node", -1);
    certificates_->make("misnamed", "ca", "somebody");
    certificates_->make("uri", "ca", "somebody", 2, "subjectAltName=URI:spiffe://margay/node");
    certificates_->make("false-server", "other-ca", "calico-typha");
    certificates_->make("misnamed-server", "ca", "not-typha");
    certificates_->make("expired-server", "ca", "calico-typha", -1);
  }
  static void TearDownTestSuite() {
    delete certificates_;
    delete dir_;
  }

  struct Outcome {
    std::size_t updates = 0;
    bool in_sync = false;
    std::string error;
  };
  // What a client with these files gets, until it is in sync or has been told why not.
  static Outcome subscribe(const TyphaFixture& typha, const TlsFiles& tls) {
    AsioLoop loop("client");
    Outcome out;
    sync::TyphaConfig c;
    c.address = typha.address();
    c.ca_file = tls.ca_file;
    c.cert_file = tls.cert_file;
    c.key_file = tls.key_file;
    c.server_cn = tls.peer_cn;
    c.server_uri_san = tls.peer_uri_san;
    const auto source = sync::make_typha_source(
        loop, c,
        {[&](std::vector<sync::Update>&& u) { out.updates += u.size(); },
         [&] { out.in_sync = true; },
         [&](const sync::Status& s) { out.error = s.connected ? "" : s.error; }});
    if (!source.ok()) return {0, false, source.error().message()};
    EXPECT_TRUE(run_until(loop, [&] { return out.in_sync || !out.error.empty(); }));
    return out;
  }

  static TempDir* dir_;
  static Certificates* certificates_;
};
TempDir* TlsTest::dir_ = nullptr;
Certificates* TlsTest::certificates_ = nullptr;

TlsFiles server_files(const Certificates& c, const std::string& name = "server",
                      const std::string& ca = "ca") {
  return c.files(name, ca, "calico-node", "spiffe://margay/node");
}

struct Row {
  const char* name;
  const char* server;
  const char* client;
  const char* client_trusts;
  const char* client_expects;
  const char* error;  // what the client says of it; nullptr: it gets in
};

constexpr Row kRows[] = {
    {"good", "server", "client", "ca", "calico-typha", nullptr},
    {"client named by URI SAN", "server", "uri", "ca", "calico-typha", nullptr},
    {"client of another CA", "server", "stranger", "ca", "calico-typha",
     "may refuse our certificate"},
    {"client expired", "server", "expired", "ca", "calico-typha", "may refuse our certificate"},
    {"client with a wrong name", "server", "misnamed", "ca", "calico-typha",
     "may refuse our certificate"},
    {"server of another CA", "false-server", "client", "ca", "calico-typha",
     "unable to get local issuer"},
    {"server with a wrong name", "misnamed-server", "client", "ca", "calico-typha",
     "CN 'not-typha', expected 'calico-typha'"},
    {"server expired", "expired-server", "client", "ca", "calico-typha", "certificate has expired"},
    {"client expects another name", "server", "client", "ca", "typha.example",
     "expected 'typha.example'"},
};

TEST_F(TlsTest, only_the_right_certificates_get_a_resource) {
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    TempDir data;
    TyphaFixture typha(
        {data / "s.db", 10'000, 8U << 20, 5s, server_files(*certificates_, row.server)});
    typha.put("/secret", "1");
    const auto out =
        subscribe(typha, certificates_->files(row.client, row.client_trusts, row.client_expects));
    const bool good = row.error == nullptr;
    EXPECT_EQ(out.in_sync, good) << out.error;
    EXPECT_EQ(out.updates, good ? 1U : 0U);
    EXPECT_EQ(out.error.empty(), good);
    EXPECT_THAT(out.error, ::testing::HasSubstr(good ? "" : row.error));
    EXPECT_EQ(typha.counter("margay_typha_connections_total"), good ? 1U : 0U);
    EXPECT_EQ(typha.counter("margay_typha_bytes_total") != 0, good);
  }
}

TEST_F(TlsTest, a_store_is_guarded_in_the_same_way) {
  TempDir data;
  TyphaFixture typha({data / "s.db", 10'000, 8U << 20, 5s, server_files(*certificates_)});
  typha.put("/secret", "1");
  AsioLoop loop("client");
  const auto get = [&](const char* name) -> Result<datastore::Entry> {
    MARGAY_TRY(auto store, datastore::make_remote_store(
                               loop, {typha.address(),
                                      certificates_->files(name, "ca", "calico-typha"), 500ms}));
    return store->get("/secret");
  };
  EXPECT_TRUE(get("client").ok());
  for (const char* name : {"stranger", "expired", "misnamed"}) {
    SCOPED_TRACE(name);
    const auto r = get(name);
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, Code::unavailable);
  }
}

struct WriterRow {
  const char* name;
  std::vector<std::string> writers;
  const char* client;
  bool reads, writes;
};

TEST_F(TlsTest, who_is_no_writer_only_reads) {
  const WriterRow rows[] = {
      {"an agent", {"margayctl"}, "client", true, false},
      {"an agent that is named by its URI", {"margayctl"}, "uri", true, false},
      {"the operator", {"margayctl"}, "operator", true, true},
      {"a pattern", {"x", "calico-*"}, "client", true, true},
      {"nobody", {}, "client", true, false},
      {"an operator where nobody writes", {}, "operator", false, false},
  };
  certificates_->make("operator", "ca", "margayctl");
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    TempDir data;
    TyphaFixture typha({data / "s.db", 10'000, 8U << 20, 5s, server_files(*certificates_), "",
                        "127.0.0.1:0", row.writers});
    typha.put("/a", "1");
    AsioLoop loop("client");
    auto store = datastore::make_remote_store(
        loop, {typha.address(), certificates_->files(row.client, "ca", "calico-typha"), 500ms});
    ASSERT_TRUE(store.ok());
    EXPECT_EQ((*store)->get("/a").ok(), row.reads);
    const auto written = (*store)->put("/a", "2");
    EXPECT_EQ(written.ok(), row.writes);
    EXPECT_EQ(typha.with_store([](datastore::Store& s) { return s.get("/a")->value; }),
              row.writes ? "2" : "1");
    if (row.writes || !row.reads) continue;
    EXPECT_EQ(written.error().code, Code::refused);
    EXPECT_THAT(written.error().context, ::testing::HasSubstr("--writer-cn"));
  }
}

// gRPC clients of ours always have a certificate; another program may have none.
TEST_F(TlsTest, a_client_without_certificate_is_refused) {
  TempDir data;
  TyphaFixture typha({data / "s.db", 10'000, 8U << 20, 5s, server_files(*certificates_)});
  const auto s_client = [&](const std::string& more) {
    // Reads what the server says after the handshake; an HTTP/2 server greets with its settings.
    const std::string command =
        "printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' | timeout 2 "
        "openssl s_client -quiet -alpn h2 -connect " +
        typha.address() + " " + more + " 2>/dev/null | wc -c";
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(::popen(command.c_str(), "r"),
                                                              &::pclose);
    unsigned long bytes = 0;
    EXPECT_EQ(std::fscanf(out.get(), "%lu", &bytes), 1);
    return bytes;
  };
  EXPECT_EQ(s_client(""), 0U);
  // The same question with the right certificate is answered: the test can tell.
  EXPECT_GT(s_client("-cert " + certificates_->file("client", ".crt") + " -key " +
                     certificates_->file("client", ".key")),
            0U);
  EXPECT_EQ(typha.counter("margay_typha_connections_total"), 0U);
}

TEST_F(TlsTest, plain_text_is_refused) {
  TempDir data;
  TyphaFixture typha({data / "s.db", 10'000, 8U << 20, 5s, server_files(*certificates_)});
  EXPECT_FALSE(subscribe(typha, {}).in_sync);
}

TEST_F(TlsTest, a_server_without_tls_gets_nothing_from_a_client_with_it) {
  TempDir data;
  TyphaFixture typha({data / "s.db"});
  const auto out = subscribe(typha, certificates_->files("client", "ca", "calico-typha"));
  EXPECT_FALSE(out.in_sync);
  EXPECT_THAT(out.error, ::testing::HasSubstr("TLS: handshake: wrong version number"));
}

TEST_F(TlsTest, a_renewed_certificate_is_read_without_a_restart) {
  TempDir data;
  Certificates renewed(data);
  renewed.make_ca("ca");
  renewed.make("server", "ca", "old-name");
  renewed.make("client", "ca", "calico-node");
  auto server = server_files(renewed);
  server.refresh_seconds = 1;
  TyphaFixture typha({data / "s.db", 10'000, 8U << 20, 5s, server});
  typha.put("/k", "1");
  EXPECT_FALSE(subscribe(typha, renewed.files("client", "ca", "calico-typha")).in_sync);
  renewed.make("server", "ca", "calico-typha");
  // The server looks at the files every second; the client goes on trying.
  AsioLoop loop("client");
  bool in_sync = false;
  const auto tls = renewed.files("client", "ca", "calico-typha");
  sync::TyphaConfig c;
  c.address = typha.address();
  c.ca_file = tls.ca_file;
  c.cert_file = tls.cert_file;
  c.key_file = tls.key_file;
  c.server_cn = tls.peer_cn;
  const auto source = sync::make_typha_source(
      loop, c, {[](auto&&) {}, [&] { in_sync = true; }, [](const auto&) {}});
  EXPECT_TRUE(run_until(loop, [&] { return in_sync; }));
}

TEST_F(TlsTest, what_cannot_be_used_leaves_the_old_in_force_and_is_said) {
  TempDir data;
  Certificates files(data);
  files.make_ca("ca");
  files.make("own", "ca", "one");
  auto keeper = transport::TlsKeeper::open(files.files("own", "ca", "x"));
  ASSERT_TRUE(keeper.ok());
  EXPECT_FALSE(keeper->refresh());
  EXPECT_EQ(keeper->problem(), "");
  const auto first = keeper->in_force();
  const auto write = [&](const char* suffix, const std::string& text) {
    std::ofstream(files.file("own", suffix)) << text;
  };
  const auto refused = [&](const char* why) {
    EXPECT_FALSE(keeper->refresh());
    EXPECT_EQ(keeper->in_force(), first);
    EXPECT_THAT(keeper->problem(), ::testing::HasSubstr(why));
  };
  write(".crt", "not a certificate");
  refused("own.crt: not a PEM certificate");
  std::filesystem::remove(files.file("own", ".crt"));
  refused("own.crt: No such file");
  files.make("own", "ca", "late", -1);
  refused("own.crt: expired on");
  write(".crt", first.cert);
  refused("does not belong to");
  files.make("own", "ca", "two");
  EXPECT_TRUE(keeper->refresh());
  EXPECT_NE(keeper->in_force(), first);
  EXPECT_EQ(keeper->problem(), "");
  // Where nothing better is known, an expired one is used: the peer may be more lenient.
  files.make("own", "ca", "late", -1);
  auto late = transport::TlsKeeper::open(files.files("own", "ca", "x"));
  ASSERT_TRUE(late.ok());
  EXPECT_THAT(late->problem(), ::testing::HasSubstr("expired on"));
  files.make("own", "ca", "later", -1);
  EXPECT_TRUE(late->refresh());
}

TEST_F(TlsTest, proxy_variables_are_ignored) {
  TempDir data;
  TyphaFixture typha({data / "s.db", 10'000, 8U << 20, 5s, server_files(*certificates_)});
  for (const char* name : {"http_proxy", "https_proxy", "grpc_proxy"}) {
    ::setenv(name, "http://192.0.2.1:3128", 1);
  }
  EXPECT_TRUE(subscribe(typha, certificates_->files("client", "ca", "calico-typha")).in_sync);
  for (const char* name : {"http_proxy", "https_proxy", "grpc_proxy"}) ::unsetenv(name);
}

TEST_F(TlsTest, files_that_cannot_work_are_named) {
  const auto good = certificates_->files("client", "ca", "calico-typha");
  EXPECT_TRUE(good.check().ok());
  const auto says = [](const TlsFiles& f) {
    const auto r = f.check();
    return r.ok() ? std::string("accepted") : r.error().message();
  };
  auto f = good;
  f.key_file = "";
  EXPECT_THAT(says(f), ::testing::HasSubstr("key file"));
  f = good;
  f.peer_cn = "";
  EXPECT_THAT(says(f), ::testing::HasSubstr("name"));
  f = good;
  f.ca_file = "/no/such/file";
  EXPECT_THAT(says(f), ::testing::HasSubstr("/no/such/file: No such file"));
  f = good;
  f.cert_file = good.key_file;
  EXPECT_THAT(says(f), ::testing::HasSubstr("not a PEM certificate"));
  f = good;
  f.key_file = certificates_->file("server", ".key");
  EXPECT_THAT(says(f), ::testing::HasSubstr("does not belong to"));
}

}  // namespace
}  // namespace margay::typha
