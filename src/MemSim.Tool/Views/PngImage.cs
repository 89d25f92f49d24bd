using System.Buffers.Binary;
using System.IO.Compression;

namespace MemSim.Tool.Views;

/// <summary>An image of coloured rectangles that can be written as PNG.</summary>
internal sealed class PngImage
{
    private const int BytesPerPixel = 3;
    private readonly byte[] _pixels;

    /// <summary>A white image.</summary>
    public PngImage(int width, int height)
    {
        Width = width;
        Height = height;
        _pixels = new byte[width * height * BytesPerPixel];
        Array.Fill(_pixels, (byte)255);
    }

    public int Width { get; }

    public int Height { get; }

    public void Fill(int left, int top, int width, int height, (byte Red, byte Green, byte Blue) color)
    {
        for (int y = top; y < top + height; y++)
        {
            for (int x = left; x < left + width; x++)
            {
                int at = ((y * Width) + x) * BytesPerPixel;
                (_pixels[at], _pixels[at + 1], _pixels[at + 2]) = color;
            }
        }
    }

    public byte[] Encode()
    {
        using var png = new MemoryStream();
        png.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a]);
        Span<byte> header = stackalloc byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, Width);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], Height);
        header[8] = 8; // bits a channel
        header[9] = 2; // red, green, blue
        header[10] = header[11] = header[12] = 0; // deflate, per-row filters, not interlaced
        WriteChunk(png, "IHDR"u8, header);
        WriteChunk(png, "IDAT"u8, Compressed());
        WriteChunk(png, "IEND"u8, []);
        return png.ToArray();
    }

    private byte[] Compressed()
    {
        using var packed = new MemoryStream();
        using (var zlib = new ZLibStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            for (int y = 0; y < Height; y++)
            {
                zlib.WriteByte(0); // the row is not filtered
                zlib.Write(_pixels, y * Width * BytesPerPixel, Width * BytesPerPixel);
            }
        }

        return packed.ToArray();
    }

    private static void WriteChunk(Stream png, ReadOnlySpan<byte> type, ReadOnlySpan<byte> content)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, content.Length);
        png.Write(number);
        png.Write(type);
        png.Write(content);
        BinaryPrimitives.WriteUInt32BigEndian(number, ~Crc(Crc(uint.MaxValue, type), content));
        png.Write(number);
    }

    /// <summary>CRC-32 as PNG and gzip use it.</summary>
    private static uint Crc(uint crc, ReadOnlySpan<byte> bytes)
    {
        foreach (byte b in bytes)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? 0xedb88320 ^ (crc >> 1) : crc >> 1;
            }
        }

        return crc;
    }
}
