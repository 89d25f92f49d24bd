using System.IO.Compression;
using MemSim.Captures;

namespace MemSim.Recordings.Import;

/// <summary>Reads another stream ahead on another thread, so that a recording is unpacked while what was unpacked before is taken apart.</summary>
internal sealed class ReadAheadStream : Stream
{
    private const int BufferBytes = 1 << 18;

    private readonly Stream _inner;
    private byte[] _buffer = new byte[BufferBytes];
    private byte[] _nextBuffer = new byte[BufferBytes];
    private Task<int>? _next;
    private InputFileException? _failure;
    private int _start;
    private int _end;

    private ReadAheadStream(Stream inner)
    {
        _inner = inner;
        ReadOn();
    }

    /// <summary>Opens a recording; a packed one is read ahead where there are threads for it.</summary>
    /// <param name="path">The file, plain or packed.</param>
    /// <exception cref="InputFileException">The file cannot be opened.</exception>
    public static Stream Open(string path)
    {
        Stream stream = InputFile.Open(path);
        return stream is GZipStream && Environment.ProcessorCount > 1 && !OperatingSystem.IsBrowser() ? new ReadAheadStream(stream) : stream;
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        if (_start == _end)
        {
            _end = _next?.GetAwaiter().GetResult() ?? 0;
            _start = 0;
            _next = null;
            if (_end == 0)
            {
                return _failure is null ? 0 : throw _failure;
            }

            (_buffer, _nextBuffer) = (_nextBuffer, _buffer);
            if (_failure is null)
            {
                ReadOn();
            }
        }

        int copied = Math.Min(buffer.Length, _end - _start);
        _buffer.AsSpan(_start, copied).CopyTo(buffer);
        _start += copied;
        return copied;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            // The other thread may be in the middle of the stream; what went wrong there nobody wants to know any more.
            ((IAsyncResult?)_next)?.AsyncWaitHandle.WaitOne();
            _inner.Dispose();
        }

        base.Dispose(disposing);
    }

    private void ReadOn()
    {
        byte[] buffer = _nextBuffer;
        _next = Task.Run(() =>
        {
            int filled = 0;
            try
            {
                for (int read = 1; filled < buffer.Length && read > 0; filled += read)
                {
                    read = _inner.Read(buffer, filled, buffer.Length - filled);
                }
            }
            catch (InputFileException e)
            {
                // What came before the damage is read first: messages tell its line.
                _failure = e;
            }

            return filled;
        });
    }
}
