using System.IO.Compression;
using System.Text;
using FluentAssertions;
using MemSim.Captures;
using MemSim.Recordings;
using MemSim.Recordings.Import;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

public sealed class InputFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("memsim-import-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("plain.gz", false)]
    [InlineData("packed.txt", true)]
    public void Contents_not_names_tell_whether_a_file_is_packed(string name, bool packed)
    {
        string path = Write(name, "first\nsecond\n", packed);
        using StreamReader text = InputFile.OpenText(path);
        text.ReadToEnd().Should().Be("first\nsecond\n");
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    public void Short_files_are_plain(string content)
    {
        using StreamReader text = InputFile.OpenText(Write("short", content, packed: false));
        text.ReadToEnd().Should().Be(content);
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        string path = Path.Combine(_folder, "none");
        FluentActions.Invoking(() => InputFile.OpenText(path)).Should().Throw<InputFileException>().WithMessage($"{path}: no such file").Which.Line.Should().Be(0);
    }

    [Fact]
    public void A_packed_file_that_is_cut_off_is_an_error()
    {
        StringBuilder lines = new();
        for (int i = 0; i < 20_000; i++)
        {
            lines.Append("A 0 28c0 - ").Append((i * 7919) % 65536).Append(" 1 0 ").Append(i * 31).Append(",2,3,4\n");
        }

        string path = Write("ops.txt.gz", lines.ToString(), packed: true);
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..(whole.Length / 2)]);
        FluentActions.Invoking(() =>
        {
            using ExactOperationsReader reader = new(path);
            while (reader.TryRead(out _))
            {
            }
        }).Should().Throw<InputFileException>().Which.Line.Should().BeGreaterThan(1000);
        FluentActions.Invoking(() => ExactStateReader.Read(path)).Should().Throw<InputFileException>();
    }

    [Fact]
    public void Lines_longer_than_a_buffer_are_whole_and_counted()
    {
        string longLine = new('x', 300_000);
        using Utf8LineReader reader = new(ImportText.Of("a", longLine, "b\r", "", "c"), "file", 1 << 20);
        List<int> lengths = [];
        while (reader.TryRead(out ReadOnlySpan<byte> line))
        {
            lengths.Add(line.Length);
        }

        lengths.Should().Equal(1, 300_000, 1, 0, 1);
        reader.Line.Should().Be(5);
    }

    [Fact]
    public void A_line_beyond_the_limit_is_an_error()
    {
        using Utf8LineReader reader = new(ImportText.Of("a", new string('x', 300_000)), "file", 1 << 17);
        reader.TryRead(out _).Should().BeTrue();
        FluentActions.Invoking(() => reader.TryRead(out _)).Should().Throw<InputFileException>().WithMessage("file(2): the line is longer*");
    }

    private string Write(string name, string text, bool packed)
    {
        string path = Path.Combine(_folder, name);
        using Stream file = packed ? new GZipStream(File.Create(path), CompressionLevel.Fastest) : File.Create(path);
        file.Write(Encoding.UTF8.GetBytes(text));
        return path;
    }
}
