using FluentAssertions;
using MemSim.Recordings.Workloads;
using Xunit;

namespace MemSim.Tests.Recordings.Workloads;

/// <summary>The scripts that recordings were made with are read as a shell reads them.</summary>
public sealed class ShellScriptTests
{
    private readonly List<string> _ran = [];

    [Fact]
    public void Loops_sums_and_defaults_expand()
    {
        Run("i=0\nwhile [ $i -lt 3 ]; do dd if=/dev/zero of=/mnt/x$i count=$((i * 7 % 50 + 1)) 2>/dev/null; i=$((i + 1)); done\nmemcap hog ${MB:-230} 0 0 # so much\n");
        _ran.Should().Equal("dd if=/dev/zero of=/mnt/x0 count=1", "dd if=/dev/zero of=/mnt/x1 count=8", "dd if=/dev/zero of=/mnt/x2 count=15", "memcap hog 230 0 0");
    }

    [Fact]
    public void Conditions_decide_what_runs()
    {
        Run("i=4\n[ $((i % 2)) = 0 ] && even; [ $i = 5 ] && five\nfalse || other\nif [ $i -ge 5 ]; then big; else small; fi");
        _ran.Should().Equal("even", "false", "other", "small");
    }

    [Fact]
    public void Redirections_and_background_are_told_to_the_program()
    {
        Run("sleep 3000 < /dev/vdb &\necho -1000 > /proc/$!/oom_score_adj\ncat x | md5sum > /dev/null");
        _ran.Should().Equal("sleep 3000 </dev/vdb &", "echo -1000 >/proc/last/oom_score_adj", "cat x", "md5sum >/dev/null");
    }

    [Theory]
    [InlineData("ok\nwhile [ 1 = 1 ]; do x", 2, "'done' is missing")]
    [InlineData("a\nb\necho \"x", 3, "a quotation mark or bracket is not closed")]
    [InlineData("x=$((1 / 0))", 1, "'1 / 0' divides by zero")]
    [InlineData("[ a -lt 3 ]", 1, "'a' or '3' is no number")]
    [InlineData("while [ 1 = 1 ]; do x; done", 1, "the script does not seem to end")]
    public void What_is_wrong_is_said_with_its_line(string text, int line, string reason) =>
        FluentActions.Invoking(() => Run(text)).Should().Throw<InputFileException>().Where(e => e.Line == line).WithMessage($"*{reason}*");

    private void Run(string text) => new ShellScript("w.sh", command =>
    {
        string text = string.Join(' ', command.Words);
        _ran.Add(text + (command.Input is { } i ? " <" + i : "") + (command.Output is { } o ? " >" + o : "") + (command.IsBackground ? " &" : ""));
        return text == "false" ? 1 : 0;
    }).Run(text);
}
